import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { defineConfig } from "vite";

// Lays a file's Brotli form (RFC 7932) beside it, for browsers that take it: the first thing that comes over a thin link.
const brotli = {
  name: "brotli",
  writeBundle({ dir }, bundle) {
    for (const name of Object.keys(bundle).filter((n) => /\.(js|css)$/.test(n))) {
      writeFileSync(join(dir, `${name}.br`), brotliCompressSync(readFileSync(join(dir, name))));
    }
  },
};

// The page is embedded into the server's binary and served under a content
// security policy of 'self': nothing inline, nothing from elsewhere.
// public/.gitkeep is copied into dist, which keeps that folder in git.
export default defineConfig({
  plugins: [brotli],
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
