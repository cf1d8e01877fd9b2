/**
 * Files whose upload is under way, kept over a reload as handles: only browsers with the File System Access API have
 * these, and only on secure addresses. A handle is a reference; the bytes are not copied.
 */

export interface Kept {
  name: string;
  handle: FileHandle;
  priority: number;
  mpp: number | null;
}

/** A FileSystemFileHandle with what TypeScript's library has not. */
export type FileHandle = FileSystemFileHandle & {
  queryPermission(wish: { mode: "read" }): Promise<PermissionState>;
  requestPermission(wish: { mode: "read" }): Promise<PermissionState>;
};

declare global {
  interface Window {
    showOpenFilePicker?: (wish: { multiple: boolean }) => Promise<FileHandle[]>;
  }
  interface DataTransferItem {
    getAsFileSystemHandle?: () => Promise<FileSystemHandle | null>;
  }
}

const STORE = "files";

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  const opening = indexedDB.open("hema-stream.uploads", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "name" });
  return (await answered(opening)).transaction(STORE, mode).objectStore(STORE);
}

/** Keep a file until it is forgotten. Where nothing can be kept it is asked for again after a reload. */
export async function keep(file: Kept): Promise<void> {
  await answered((await store("readwrite")).put(file)).catch(() => undefined);
}

export async function forget(name: string): Promise<void> {
  await answered((await store("readwrite")).delete(name)).catch(() => undefined);
}

export async function allKept(): Promise<Kept[]> {
  return store("readonly").then((files) => answered(files.getAll() as IDBRequest<Kept[]>)).catch(() => []);
}
