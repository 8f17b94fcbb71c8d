// The build without subtitles and encryption brings no types of its own.
declare module "hls.js/light" {
  export { default } from "hls.js";
}
