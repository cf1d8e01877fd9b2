/** Light or dark: as the machine has it, until somebody chooses. */

const KEY = "hema-stream.theme";

class Theme {
  dark = $state(false);

  constructor() {
    const machine = window.matchMedia("(prefers-color-scheme: dark)");
    const chosen = localStorage.getItem(KEY);
    this.dark = chosen ? chosen === "dark" : machine.matches;
    machine.addEventListener("change", () => {
      if (!localStorage.getItem(KEY)) this.set(machine.matches);
    });
    this.set(this.dark);
  }

  toggle(): void {
    this.set(!this.dark);
    localStorage.setItem(KEY, this.dark ? "dark" : "light");
  }

  private set(dark: boolean): void {
    this.dark = dark;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }
}

export const theme = new Theme();
