/**
 * Uploads of this page, by tus. They go on by themselves after a lost connection for as long as the page is open, and
 * after a reload where the browser keeps files (kept.ts).
 */

import * as tus from "tus-js-client";
import { PREFIX, type Client } from "../api/client";
import type { SessionInfo } from "../api/types";
import { allKept, forget, keep, type FileHandle, type Kept } from "./kept";
import { refusal } from "./kinds";

export type UploadState = "waiting" | "going" | "stalled" | "paused" | "broken" | "done";

/** What is told of a file that is uploaded. */
export interface Wish {
  priority: number;
  mpp: number | null;
}

const CHUNK = 8 * 2 ** 20;
const TOGETHER = 2;
/** Milliseconds between tries; the last for all that follow. */
const WAITS = [0, 1000, 3000, 5000, 10_000, 30_000];
/** Milliseconds without a byte after which an upload is said to stall, and after which it is begun anew. */
const QUIET = 10_000;
const DEAD = 45_000;
/** Answers after which the same request may do: all others are final. */
const PASSING = new Set([0, 408, 409, 423, 425, 429]);

export class FileUpload {
  sent = $state(0);
  state = $state<UploadState>("waiting");
  fault = $state("");
  retryAt = $state(0);
  /** When a byte was last heard of. */
  heard = $state(Date.now());
  private tries = 0;
  private timer = 0;
  private readonly upload: tus.Upload;

  constructor(
    readonly file: File,
    client: Client,
    { priority, mpp }: Wish,
    private readonly ended: (upload: FileUpload) => void,
  ) {
    this.upload = new tus.Upload(file, {
      endpoint: `${PREFIX}/uploads`,
      headers: client.headers,
      chunkSize: CHUNK,
      retryDelays: null,
      metadata: { filename: file.name, priority: String(priority), ...(mpp ? { mpp: String(mpp) } : {}) },
      removeFingerprintOnSuccess: true,
      onProgress: (sent) => {
        if (sent > this.sent) this.tries = 0;
        this.sent = sent;
        this.heard = Date.now();
      },
      onSuccess: () => this.end("done"),
      onError: (error) => this.failed(error),
    });
  }

  get open(): boolean {
    return this.state !== "done" && this.state !== "broken";
  }

  async start(): Promise<void> {
    window.clearTimeout(this.timer);
    this.state = "going";
    this.fault = "";
    this.heard = Date.now();
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    this.upload.start();
  }

  async pause(): Promise<void> {
    window.clearTimeout(this.timer);
    await this.upload.abort();
    this.end("paused");
  }

  /** Look whether it still moves; one that hears nothing for long is begun anew where it stands. */
  watch(now: number): void {
    if (this.state !== "going") return;
    const quiet = now - this.heard;
    this.fault = quiet < QUIET ? "" : "Nothing gets through at the moment";
    if (quiet >= DEAD) void this.upload.abort().then(() => this.later("The connection was lost"));
  }

  /** Try now what waits for its next try. */
  hurry(): void {
    if (this.state === "stalled") void this.start();
  }

  private failed(error: Error | tus.DetailedError): void {
    const answer = "originalResponse" in error ? error.originalResponse : null;
    const status = answer?.getStatus() ?? 0;
    const fault = detail(answer?.getBody() ?? "") || (status ? `The service answered ${status}` : "The connection was lost");
    if (PASSING.has(status) || status >= 500) {
      this.later(fault);
      return;
    }
    this.fault = fault;
    this.end("broken");
  }

  private later(fault: string): void {
    const wait = WAITS[Math.min(this.tries++, WAITS.length - 1)];
    this.state = "stalled";
    this.fault = fault;
    this.retryAt = Date.now() + wait;
    this.timer = window.setTimeout(() => void this.start(), wait);
  }

  private end(state: UploadState): void {
    this.state = state;
    this.ended(this);
  }
}

function detail(body: string): string {
  try {
    return (JSON.parse(body) as { detail: string }).detail;
  } catch {
    return "";
  }
}

export interface Unfinished {
  name: string;
  size: number;
  key: string;
}

export class Uploads {
  files = $state<FileUpload[]>([]);
  /** Files that were not sent, and why. */
  refused = $state<{ name: string; why: string }[]>([]);
  /** Kept over a reload, but the browser wants to be asked. */
  asleep = $state.raw<Kept[]>([]);
  /** Begun by an earlier page that could not keep the file. */
  unfinished = $state.raw<Unfinished[]>([]);
  /** Told when an upload has ended. */
  changed: () => void = () => undefined;

  constructor(
    private readonly client: Client,
    private readonly info: SessionInfo,
  ) {
    const { signal } = this.closing;
    const timer = window.setInterval(() => this.files.forEach((file) => file.watch(Date.now())), 1000);
    signal.addEventListener("abort", () => window.clearInterval(timer));
    window.addEventListener("online", () => this.files.forEach((file) => file.hurry()), { signal });
    const ask = (event: BeforeUnloadEvent): void => {
      if (this.files.some((file) => file.open && !this.keeps.has(file.file))) event.preventDefault();
    };
    window.addEventListener("beforeunload", ask, { signal });
    void this.restore();
  }

  private readonly keeps = new Set<File>();
  private readonly closing = new AbortController();

  /** Send nothing more: who is signed in has left. What is kept goes on with the next one. */
  close(): void {
    this.closing.abort();
    for (const file of this.files) if (file.open) void file.pause();
  }

  async add(files: Iterable<File>, wish: Wish): Promise<void> {
    this.refused = [];
    for (const file of files) await this.take(file, wish);
  }

  async addHandles(handles: Iterable<FileHandle>, wish: Wish): Promise<void> {
    this.refused = [];
    for (const handle of handles) await this.takeKept({ ...wish, name: handle.name, handle });
  }

  /** Go on with a file for which the browser must ask. */
  async wake(kept: Kept): Promise<void> {
    if ((await kept.handle.requestPermission({ mode: "read" })) !== "granted") return;
    this.asleep = this.asleep.filter((other) => other !== kept);
    await this.takeKept(kept);
  }

  /** Take a file off the list that does not move. */
  drop(upload: FileUpload): void {
    this.files = this.files.filter((other) => other !== upload);
    void forget(upload.file.name);
  }

  async letGo({ key }: Unfinished): Promise<void> {
    await tus.defaultOptions.urlStorage?.removeUpload(key);
    this.unfinished = this.unfinished.filter((other) => other.key !== key);
  }

  async dropKept(kept: Kept): Promise<void> {
    await forget(kept.name);
    this.asleep = this.asleep.filter((other) => other !== kept);
  }

  private async takeKept(kept: Kept): Promise<void> {
    const file = await kept.handle.getFile().catch(() => null);
    if (!file) {
      await forget(kept.name);
      return;
    }
    this.keeps.add(file);
    if (await this.take(file, kept)) await keep(kept);
  }

  private async take(file: File, wish: Wish): Promise<boolean> {
    const same = (other: FileUpload): boolean =>
      other.open && other.file.name === file.name && other.file.size === file.size;
    const why = this.files.some(same) ? "already being uploaded" : await refusal(file, this.info.kinds, this.info.most_bytes);
    if (why) {
      this.refused = [...this.refused, { name: file.name, why }];
      return false;
    }
    this.unfinished = this.unfinished.filter(({ name, size }) => name !== file.name || size !== file.size);
    this.files = [...this.files, new FileUpload(file, this.client, wish, (upload) => this.ended(upload))];
    this.go();
    return true;
  }

  private ended(upload: FileUpload): void {
    if (!upload.open) void forget(upload.file.name);
    this.changed();
    this.go();
  }

  private go(): void {
    if (this.closing.signal.aborted) return;
    const going = this.files.filter((file) => file.state === "going" || file.state === "stalled").length;
    const waiting = this.files.filter((file) => file.state === "waiting");
    for (const file of waiting.slice(0, Math.max(TOGETHER - going, 0))) void file.start();
  }

  /** Go on with what an earlier page kept, in one tab: the lock is held for as long as the page is open. */
  private async restore(): Promise<void> {
    if (!("locks" in navigator)) return this.lookBack();
    void navigator.locks.request("hema-stream.uploads", { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      for (const kept of await allKept()) {
        const state = await kept.handle.queryPermission({ mode: "read" }).catch(() => "denied" as const);
        if (state === "granted") await this.takeKept(kept);
        else if (state === "prompt") this.asleep = [...this.asleep, kept];
        else await forget(kept.name);
      }
      await this.lookBack();
      if (!this.closing.signal.aborted) {
        await new Promise((resolve) => this.closing.signal.addEventListener("abort", resolve));
      }
    });
  }

  /** What began and did not end, of which only the name is known. */
  private async lookBack(): Promise<void> {
    const found = (await tus.defaultOptions.urlStorage?.findAllUploads()) ?? [];
    const known = new Set([...this.files.map(({ file }) => file.name), ...this.asleep.map(({ name }) => name)]);
    this.unfinished = found
      .map(({ metadata, size, urlStorageKey }) => ({ name: metadata.filename, size: size ?? 0, key: urlStorageKey }))
      .filter(({ name }) => name && !known.has(name));
  }
}

let made: { client: Client; uploads: Uploads } | null = null;

/** The uploads of who is signed in: they go on whatever page is shown. */
export function uploadsOf(client: Client, info: SessionInfo): Uploads {
  if (made?.client !== client) {
    endUploads();
    made = { client, uploads: new Uploads(client, info) };
  }
  return made.uploads;
}

export function endUploads(): void {
  made?.uploads.close();
  made = null;
}
