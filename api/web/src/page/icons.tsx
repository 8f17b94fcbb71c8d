// Line icons on a 24-pixel grid, drawn here so that the page loads nothing from elsewhere.

const lines = {
  mic: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  camera: "M3.5 7.5a1.5 1.5 0 0 1 1.5-1.5h9a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5H5a1.5 1.5 0 0 1-1.5-1.5zM15.5 10.5l5-3v9l-5-3",
  screen: "M4.5 5h15A1.5 1.5 0 0 1 21 6.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 15.5v-9A1.5 1.5 0 0 1 4.5 5zM8 20.5h8M12 14V8.5M9.5 10.5L12 8l2.5 2.5",
  leave: "M10 4H5.5A1.5 1.5 0 0 0 4 5.5v13A1.5 1.5 0 0 0 5.5 20H10M10 12h10M16 8l4 4-4 4",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.2a6.5 6.5 0 0 1 3.5 5.8",
  record: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  hand: "M8 12V5.5a1.4 1.4 0 0 1 2.8 0V11M10.8 10.5V4.2a1.4 1.4 0 0 1 2.8 0v6.3M13.6 10.5V5.5a1.4 1.4 0 0 1 2.8 0V12M16.4 11V8.3a1.4 1.4 0 0 1 2.8 0V15a6 6 0 0 1-6 6h-1.2a6 6 0 0 1-4.6-2.1l-3.6-4.4a1.5 1.5 0 0 1 2.2-2L8 14.2",
  close: "M6 6l12 12M18 6L6 18",
} as const;

/** An icon; off strikes it through. It is decoration: the button has the words. */
export function Icon({ name, off = false }: { name: keyof typeof lines; off?: boolean }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={lines[name]} />
      {off && <path d="M4 4l16 16" />}
    </svg>
  );
}
