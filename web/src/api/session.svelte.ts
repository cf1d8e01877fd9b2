/** Who is signed in. The token lives in the session storage of the tabs that are open, and goes with the last of them. */

import { ApiError, Client, exchange } from "./client";
import type { SessionInfo } from "./types";

const KEY = "hema-stream.token";
/** Milliseconds that the other tabs have to tell theirs. */
const ASKED = 300;

type Said = { type: "ask" } | { type: "token"; token: string } | { type: "out" };

class Session {
  client = $state.raw<Client | null>(null);
  info = $state.raw<SessionInfo | null>(null);
  /** A token that was just made with a one-time token, to be shown once. */
  made = $state("");
  /** Why somebody was signed out, for the sign-in page. */
  notice = $state("");
  private readonly tabs = new BroadcastChannel("hema-stream.tabs");

  constructor() {
    this.tabs.addEventListener("message", ({ data }: MessageEvent<Said>) => {
      const token = sessionStorage.getItem(KEY);
      if (data.type === "ask" && token) this.tell({ type: "token", token });
      if (data.type === "out" && this.client) this.leave("You signed out in another tab.");
    });
  }

  may(scope: string): boolean {
    return this.info?.scopes.includes(scope) ?? false;
  }

  /** Sign in with the token of an earlier page of this tab, or of another tab, if it is still good. */
  async restore(): Promise<void> {
    const token = sessionStorage.getItem(KEY) ?? (await this.askTabs());
    if (!token) return;
    await this.enter(token).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 401) sessionStorage.removeItem(KEY);
      this.notice = (error as Error).message;
    });
  }

  /** Sign in with a token; a one-time token is turned into a real one first. */
  async signIn(text: string): Promise<void> {
    const token = text.trim();
    try {
      await this.enter(token);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const made = await exchange(token);
      await this.enter(made);
      this.made = made;
    }
    this.notice = "";
  }

  /** Sign out, in every tab. */
  signOut(): void {
    this.leave();
    this.tell({ type: "out" });
  }

  private leave(notice = ""): void {
    sessionStorage.removeItem(KEY);
    this.client = this.info = null;
    this.made = "";
    this.notice = notice;
  }

  private async enter(token: string): Promise<void> {
    this.info = await new Client(token).session();
    sessionStorage.setItem(KEY, token);
    this.client = new Client(token, () => this.leave("The token is no longer accepted. Sign in again."));
  }

  private tell(what: Said): void {
    this.tabs.postMessage(what);
  }

  private async askTabs(): Promise<string | null> {
    return new Promise((resolve) => {
      const hear = ({ data }: MessageEvent<Said>): void => {
        if (data.type === "token") end(data.token);
      };
      const end = (token: string | null): void => {
        this.tabs.removeEventListener("message", hear);
        window.clearTimeout(timer);
        resolve(token);
      };
      const timer = window.setTimeout(() => end(null), ASKED);
      this.tabs.addEventListener("message", hear);
      this.tell({ type: "ask" });
    });
  }
}

export const session = new Session();
