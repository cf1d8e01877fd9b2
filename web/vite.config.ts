import { svelte } from "@sveltejs/vite-plugin-svelte";
import license from "rollup-plugin-license";
import { defineConfig, type Plugin } from "vite";

const here = (path: string): string => new URL(path, import.meta.url).pathname;

/** OpenSeadragon writes a style element, which the service's policy refuses; style.css has its rule. */
const withoutInlineStyle: Plugin = {
  name: "openseadragon-without-inline-style",
  transform: (code, id) =>
    id.includes("openseadragon") ? code.replace("document.head.appendChild(style);", "") : undefined,
};

/** Where the build goes: into the service, unless the command line names another folder. */
const named = process.argv.indexOf("--outDir");
const out = named < 0 ? here("../hema_stream/service/static") : process.argv[named + 1];

export default defineConfig({
  base: "./",
  plugins: [svelte(), withoutInlineStyle],
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 900,
    // Nothing is inlined: the service's policy lets no script, style or font in that is not a file of its own.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      plugins: [
        license({
          thirdParty: { includePrivate: false, output: { file: `${out}/licences.txt` } },
        }),
      ],
    },
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8765", ws: true } } },
});
