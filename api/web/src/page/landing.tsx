/** The page at "/": which room? */
export function Landing() {
  const go = (e: SubmitEvent) => {
    e.preventDefault();
    const room = String(new FormData(e.currentTarget as HTMLFormElement).get("room") ?? "").trim();
    if (room) location.href = `/r/${encodeURIComponent(room)}${location.hash}`;
  };
  return (
    <main class="card">
      <h1>mixdown</h1>
      <p>A room where everybody sends one stream and receives one: a single picture and a single sound, made by the server.</p>
      <form onSubmit={go}>
        <label for="room">Name of the room</label>
        <input id="room" name="room" required maxLength={64} autocomplete="off" autocapitalize="none" spellcheck={false} data-testid="room" />
        <button class="primary" type="submit" data-testid="open">
          Go to the room
        </button>
      </form>
      <p class="hint">
        Were you sent a link? Open it as it is: the part after <code>#</code> is the key of the room. Sound and pictures are encrypted to this
        server, which mixes them; they are not end-to-end encrypted.
      </p>
    </main>
  );
}
