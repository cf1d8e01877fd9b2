/** Priorities that the page offers; the service takes any number from -100 to 100. */
export const PRIORITIES = [
  { value: 100, title: "Emergency" },
  { value: 50, title: "Urgent" },
  { value: 0, title: "Routine" },
  { value: -50, title: "When idle" },
] as const;
