"use strict";
// Data are scripts that hand over what they hold, since a page opened from disk may not fetch files. A sequence's
// curves are read when it is chosen, its masks and memories in chunks when a frame of theirs is shown.

const store = {
  comparison: null,
  sequences: new Map(), // folder -> {about, curves, chunks: Map}
  waiting: new Map(), // path of a script -> promise
  KEPT: 40, // chunks

  script(path) {
    if (!store.waiting.has(path)) {
      store.waiting.set(path, new Promise((resolve, reject) => {
        const node = document.createElement("script");
        node.src = path;
        node.onload = () => { node.remove(); resolve(); };
        node.onerror = () => { store.waiting.delete(path); reject(new Error(`${path} is missing`)); };
        document.head.append(node);
      }));
    }
    return store.waiting.get(path);
  },

  // Called by the data.
  about(folder, about) { store.sequences.set(folder, { about, curves: null, chunks: new Map() }); },
  curves(folder, rows) { store.sequences.get(folder).curves = rows; },
  frames(folder, number, frames) {
    const { chunks } = store.sequences.get(folder);
    chunks.set(number, frames);
    while (chunks.size > store.KEPT) {
      const [oldest] = chunks.keys();
      chunks.delete(oldest);
      store.waiting.delete(store.chunkPath(folder, oldest));
    }
  },

  // The number in the video of the frame at a place: of a part of a video, frames are told by their place in it.
  number(folder, place) {
    const { first, stride } = store.comparison.sequences.find((one) => one.folder === folder);
    return first + stride * place;
  },

  chunkPath: (folder, number) => `${folder}/frames-${number}.js`,
  image: (folder, frame) => `${folder}/${String(frame).padStart(5, "0")}.jpg`,

  async sequence(folder) {
    await store.script(`${folder}/about.js`);
    await store.script(`${folder}/curves.js`);
    return store.sequences.get(folder);
  },

  // What is known of a frame: {truth, variants: [{object: {mask, predicted_iou, ..., memory}}]}; null beyond the video.
  async frame(folder, frame) {
    const { about, chunks } = store.sequences.get(folder);
    if (frame < 0 || frame >= about.length) return null;
    const number = Math.floor(frame / about.chunk);
    if (!chunks.has(number)) await store.script(store.chunkPath(folder, number));
    return chunks.get(number)[frame - number * about.chunk];
  },
};
