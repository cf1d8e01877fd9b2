/** Text of an answer as it arrives. */

/** Walk the pieces of a body's text; who stops early ends the download. */
export async function* pieces(answer: Response): AsyncGenerator<string> {
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    await reader.cancel();
  }
}

/** Walk the lines of a body's text, without spaces and the comma at their ends. */
export async function* lines(answer: Response): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of pieces(answer)) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield part.trim().replace(/,$/, "");
  }
  yield rest.trim();
}
