import { defineConfig } from "vite";

// The page is embedded into the server's binary and served under a content
// security policy of 'self': nothing inline, nothing from elsewhere.
// public/.gitkeep is copied into dist, which keeps that folder in git.
export default defineConfig({
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      "/api": { target: "http://127.0.0.1:8080", ws: true },
      "/whip": "http://127.0.0.1:8080",
      "/whep": "http://127.0.0.1:8080",
    },
  },
});
