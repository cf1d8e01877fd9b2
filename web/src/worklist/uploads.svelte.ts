/** Uploads of this tab, by tus: each can be paused, and goes on where it stopped, also after the page was closed. */

import * as tus from "tus-js-client";
import { PREFIX, type Client } from "../api/client";

export type UploadState = "waiting" | "going" | "paused" | "broken" | "done";

const CHUNK = 8 * 2 ** 20;
const TOGETHER = 2;

export class FileUpload {
  sent = $state(0);
  state = $state<UploadState>("waiting");
  fault = $state("");
  private readonly upload: tus.Upload;

  constructor(
    readonly file: File,
    client: Client,
    priority: number,
    private readonly ended: () => void,
  ) {
    this.upload = new tus.Upload(file, {
      endpoint: `${PREFIX}/uploads`,
      headers: client.headers,
      chunkSize: CHUNK,
      retryDelays: [0, 1000, 3000, 5000, 10_000],
      metadata: { filename: file.name, priority: String(priority) },
      removeFingerprintOnSuccess: true,
      onProgress: (sent) => (this.sent = sent),
      onSuccess: () => {
        this.state = "done";
        this.ended();
      },
      onError: (error) => {
        this.state = "broken";
        this.fault = reason(error);
        this.ended();
      },
    });
  }

  async start(): Promise<void> {
    this.state = "going";
    this.fault = "";
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    this.upload.start();
  }

  async pause(): Promise<void> {
    await this.upload.abort();
    this.state = "paused";
    this.ended();
  }
}

function reason(error: Error | tus.DetailedError): string {
  const body = "originalResponse" in error ? error.originalResponse?.getBody() : "";
  try {
    return (JSON.parse(body ?? "") as { detail: string }).detail;
  } catch {
    return "The connection was lost.";
  }
}

export class Uploads {
  files = $state<FileUpload[]>([]);

  constructor(
    private readonly client: Client,
    private readonly changed: () => void,
  ) {}

  add(files: Iterable<File>, priority: number): void {
    const next = (): void => {
      this.changed();
      this.go();
    };
    this.files = [...this.files, ...[...files].map((file) => new FileUpload(file, this.client, priority, next))];
    this.go();
  }

  forget(file: FileUpload): void {
    this.files = this.files.filter((other) => other !== file);
  }

  private go(): void {
    const going = this.files.filter((file) => file.state === "going").length;
    const waiting = this.files.filter((file) => file.state === "waiting");
    for (const file of waiting.slice(0, Math.max(TOGETHER - going, 0))) void file.start();
  }
}
