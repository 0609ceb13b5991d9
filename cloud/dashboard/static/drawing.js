// Drawing where a defect is, over a picture: boxes, a brush, an eraser; by mouse, pen and finger.
"use strict";

window.Drawing = class {
  // `figure` holds one picture, or nothing but a place for one, until `over` is told of it. What is
  // drawn is kept at most LONGEST pixels wide or high, whatever the picture's size on the screen is.
  static LONGEST = 256;

  constructor(figure, tools) {
    this.figure = figure;
    this.tools = tools;
    this.tool = null;
    this.drawn = false;
    const picture = figure.querySelector("img");
    if (picture) this.over(picture);
  }

  // Another picture of the same part comes in its place: what was drawn stays where it is.
  over(picture, across = 0, down = 0) {
    if (!this.surface) this.open();
    const fit = () => this.fit(across || picture.naturalWidth, down || picture.naturalHeight);
    if (across || picture.complete) fit();
    else picture.addEventListener("load", fit);
  }

  open() {
    this.tools.hidden = false;
    this.surface = document.createElement("canvas");
    this.surface.className = "drawn";
    this.surface.setAttribute("aria-hidden", "true");
    this.figure.append(this.surface);
    for (const button of this.tools.querySelectorAll("[data-tool]")) button.addEventListener("click", () => this.take(button.dataset.tool));
    this.surface.addEventListener("pointerdown", (event) => this.begin(event));
    this.surface.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) this.surface.addEventListener(end, () => this.end());
  }

  fit(width, height) {
    if (!width || this.drawn) return;
    const scale = Math.min(1, Drawing.LONGEST / Math.max(width, height));
    this.surface.width = Math.max(1, Math.round(width * scale));
    this.surface.height = Math.max(1, Math.round(height * scale));
  }

  take(tool) {
    if (!this.surface) return;
    if (tool === "clear") {
      this.context().clearRect(0, 0, this.surface.width, this.surface.height);
      this.drawn = false;
      return;
    }
    this.tool = this.tool === tool ? null : tool;
    this.surface.classList.toggle("active", this.tool !== null);
    for (const button of this.tools.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.tool === this.tool));
  }

  context() {
    const context = this.surface.getContext("2d");
    context.fillStyle = context.strokeStyle = "#ffb000";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = Math.max(3, this.surface.width / 24);
    context.globalCompositeOperation = this.tool === "erase" ? "destination-out" : "source-over";
    return context;
  }

  at(event) {
    const place = this.surface.getBoundingClientRect();
    return [((event.clientX - place.left) / place.width) * this.surface.width, ((event.clientY - place.top) / place.height) * this.surface.height];
  }

  begin(event) {
    if (!this.tool) return;
    event.preventDefault();
    this.surface.setPointerCapture(event.pointerId);
    this.from = this.last = this.at(event);
    this.before = this.context().getImageData(0, 0, this.surface.width, this.surface.height);
    this.go(event);
  }

  go(event) {
    if (!this.from) return;
    const context = this.context();
    const [x, y] = this.at(event);
    if (this.tool === "box") {
      context.putImageData(this.before, 0, 0);
      context.fillRect(Math.min(x, this.from[0]), Math.min(y, this.from[1]), Math.abs(x - this.from[0]), Math.abs(y - this.from[1]));
    } else {
      context.beginPath();
      context.moveTo(...this.last);
      context.lineTo(x, y);
      context.stroke();
    }
    this.last = [x, y];
    this.drawn = true;
  }

  end() {
    this.from = null;
  }

  // A PNG in base64; empty where nothing is drawn.
  png() {
    if (!this.surface || !this.drawn) return "";
    const pixels = this.context().getImageData(0, 0, this.surface.width, this.surface.height).data;
    for (let at = 3; at < pixels.length; at += 4) if (pixels[at] > 127) return this.surface.toDataURL("image/png").split(",")[1];
    return "";
  }
};
