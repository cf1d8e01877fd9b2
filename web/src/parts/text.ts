/** Numbers and times as people read them. */

const number = new Intl.NumberFormat("en-GB");

export const count = (n: number | undefined): string => number.format(n ?? 0);

/** A percentage with one decimal; what is more than nothing is not shown as nothing. */
export const percent = (value: number | null | undefined): string =>
  value == null ? "–" : value > 0 && value < 0.05 ? "<0.1" : value.toFixed(1);

export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) {
    n /= 1000;
    at++;
  }
  return `${n >= 10 || at === 0 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

/** A length of time: "12 s", "3 min", "1 h 5 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 10) return `${minutes} min ${whole % 60} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const clock = (time: string | number): string =>
  new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Time of day today, date and time before. */
export function moment(time: string): string {
  const at = new Date(time);
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
  if (at.toDateString() !== new Date().toDateString()) Object.assign(options, { day: "numeric", month: "short" });
  return at.toLocaleString("en-GB", options);
}

export function sentence(text: string): string {
  return text ? text[0].toUpperCase() + text.slice(1) : text;
}
