"use strict";
// What is worth looking at: losses, recoveries, frames on which variants differ, first decisions that do.

const moments = {
  shown: [],

  // Fills the filters once.
  offer(all) {
    const fill = (id, names) => document.getElementById(id).append(...names.map((name) => new Option(name, name)));
    fill("kind", [...new Set(all.map((moment) => moment.kind))]);
    fill("attribute", [...new Set(all.flatMap((moment) => moment.attributes))].sort());
  },

  list(all, variants, names, jump) {
    const kind = document.getElementById("kind").value, attribute = document.getElementById("attribute").value;
    const listed = JSON.stringify([kind, attribute, variants]);
    if (moments.listed === listed) return;
    moments.listed = listed;
    moments.shown = all.filter((moment) =>
      (!kind || moment.kind === kind) && (!attribute || moment.attributes.includes(attribute)) &&
      (moment.variant === null || variants.includes(moment.variant)));
    const items = moments.shown.slice(0, 300).map((moment) => {
      const item = document.createElement("li");
      item.tabIndex = 0;
      item.dataset.frame = moment.frame;
      item.dataset.sequence = moment.sequence;
      const who = moment.variant === null ? "" : `${names[moment.variant]} · `;
      const small = document.createElement("small");
      small.textContent = `${who}object ${moment.object} · ${moment.about}${moment.attributes.length ? ` · ${moment.attributes.join(", ")}` : ""}`;
      const { folder } = store.comparison.sequences.find((one) => one.name === moment.sequence);
      item.append(`${moment.kind} · ${moment.sequence} · frame ${store.number(folder, moment.frame)}`, document.createElement("br"), small);
      item.onclick = () => jump(moment);
      item.onkeydown = (event) => { if (event.key === "Enter") jump(moment); };
      return item;
    });
    document.getElementById("moments").replaceChildren(...items);
  },

  // The first frames on which two of the chosen variants part, of one sequence.
  differences(node, pairs, variants, names, folder, jump) {
    const chosen = pairs.filter(({ variants: [a, b] }) => variants.includes(a) && variants.includes(b));
    const table = document.createElement("table");
    for (const { variants: [a, b], held, read, mask } of chosen) {
      const row = table.insertRow();
      row.insertCell().textContent = `${names[a]} / ${names[b]}`;
      for (const [what, frame] of [["hold", held], ["read", read], ["mask", mask]]) {
        const cell = row.insertCell();
        if (frame === null) { cell.textContent = `${what} –`; continue; }
        const button = document.createElement("button");
        button.textContent = `${what} ${store.number(folder, frame)}`;
        button.dataset.frame = frame;
        button.onclick = () => jump(frame);
        cell.append(button);
      }
    }
    const title = document.createElement("p");
    title.className = "hint";
    title.textContent = "first frame on which two variants hold, read or show something else";
    node.replaceChildren(...(chosen.length ? [title, table] : []));
  },
};
