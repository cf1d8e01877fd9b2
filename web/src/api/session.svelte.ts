/** Who is signed in. The token lives in this tab's session storage and goes with the tab. */

import { ApiError, Client, exchange } from "./client";
import type { SessionInfo } from "./types";

const KEY = "hema-stream.token";

class Session {
  client = $state.raw<Client | null>(null);
  info = $state.raw<SessionInfo | null>(null);
  /** A token that was just made with a one-time token, to be shown once. */
  made = $state("");
  /** Why somebody was signed out, for the sign-in page. */
  notice = $state("");

  may(scope: string): boolean {
    return this.info?.scopes.includes(scope) ?? false;
  }

  /** Sign in with the token of an earlier page of this tab, if it is still good. */
  async restore(): Promise<void> {
    const token = sessionStorage.getItem(KEY);
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

  signOut(notice = ""): void {
    sessionStorage.removeItem(KEY);
    this.client = this.info = null;
    this.made = "";
    this.notice = notice;
  }

  private async enter(token: string): Promise<void> {
    this.info = await new Client(token).session();
    sessionStorage.setItem(KEY, token);
    this.client = new Client(token, () => this.signOut("The token is no longer accepted. Sign in again."));
  }
}

export const session = new Session();
