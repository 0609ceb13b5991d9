// What pages have in common that show a part's own picture, as its box has answered.
"use strict";

window.PartPicture = (() => {
  const numbers = (text) => (text ? text.split(",").map(Number) : []);

  function address(root, part) {
    return `${root}/api/v1/inspections/${part.split("/").map(encodeURIComponent).join("/")}`;
  }

  function dataUrl(blob) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => done(reader.result));
      reader.addEventListener("error", () => failed(reader.error));
      reader.readAsDataURL(blob);
    });
  }

  function image(source, name, text) {
    const made = document.createElement("img");
    made.src = source;
    made.className = name;
    made.alt = text;
    return made;
  }

  // What an answer that is none says: what is wrong, and what to do.
  async function problemOf(answer) {
    const said = await answer.json().catch(() => null);
    if (!said) return [`The cloud answers ${answer.status}`, ""];
    return [said.error ?? said.detail ?? said.title ?? "", said.fix ?? ""];
  }

  // Width and height of the picture that the box has kept; 0: that of what it has sent.
  function frameOf(headers) {
    return numbers(headers.get("x-picture-window"))[2] ? numbers(headers.get("x-picture-frame")) : [0, 0];
  }

  // In the place of what was there. A region lies where it was cut out: the rest stays empty.
  function place(frame, picture, headers) {
    const [across, down] = numbers(headers.get("x-picture-frame"));
    const [left, top, width, height] = numbers(headers.get("x-picture-window"));
    for (const old of frame.querySelectorAll("img, .no-map")) old.remove();
    if (width) {
      frame.style.aspectRatio = `${across} / ${down}`;
      picture.classList.add("piece");
      picture.style.left = `${(100 * left) / across}%`;
      picture.style.top = `${(100 * top) / down}%`;
      picture.style.width = `${(100 * width) / across}%`;
      picture.style.height = `${(100 * height) / down}%`;
    }
    frame.prepend(picture);
  }

  return { address, dataUrl, image, problemOf, frameOf, place };
})();
