// The count of open alerts on every page, and a sound when there is a new one. The sound is turned
// on by a button, since browsers play nothing that nobody asked for; the choice is kept.
"use strict";

(() => {
  const root = new URL(".", document.currentScript.src).pathname.replace(/static\/$/, "");
  const EVERY_MS = 5000;
  const KEY = "splitsight-sound";
  const strip = document.getElementById("alarm");
  const text = document.getElementById("alarm-text");
  let known = null;
  let speaker = null;

  const words = (count, state) => `${count} ${count === 1 ? "alert" : "alerts"} ${state}`;

  const wanted = () => {
    try {
      return localStorage.getItem(KEY) === "on";
    } catch {
      return false;
    }
  };

  const ready = async () => {
    speaker ??= new AudioContext();
    if (speaker.state !== "running") {
      // Without a gesture on this page some browsers never answer.
      await Promise.race([speaker.resume(), new Promise((done) => setTimeout(done, 300))]);
    }
    return speaker.state === "running";
  };

  const play = async () => {
    if (!(await ready())) {
      return false;
    }
    // Two tones, twice: it is told from machines that hum and from phones.
    [880, 660, 880, 660].forEach((pitch, place) => {
      const tone = speaker.createOscillator();
      const loudness = speaker.createGain();
      const from = speaker.currentTime + place * 0.22;
      tone.frequency.value = pitch;
      loudness.gain.setValueAtTime(0, from);
      loudness.gain.linearRampToValueAtTime(0.25, from + 0.02);
      loudness.gain.linearRampToValueAtTime(0, from + 0.2);
      tone.connect(loudness).connect(speaker.destination);
      tone.start(from);
      tone.stop(from + 0.21);
    });
    document.dispatchEvent(new CustomEvent("splitsight:sounded"));
    return true;
  };

  const show = (counts) => {
    const open = counts.unacknowledged + counts.acknowledged;
    const said = counts.unacknowledged
      ? words(counts.unacknowledged, "not acknowledged")
      : words(counts.acknowledged, "acknowledged");
    strip.hidden = open === 0;
    strip.classList.toggle("bad", counts.unacknowledged > 0);
    if (text.textContent !== said) {
      text.textContent = said;
    }
    if (known !== null && counts.unacknowledged > known && wanted()) {
      play();
    }
    if (known !== null && (counts.unacknowledged !== known)) {
      document.dispatchEvent(new CustomEvent("splitsight:alerts"));
    }
    known = counts.unacknowledged;
  };

  const look = async () => {
    try {
      const answer = await fetch(`${root}alerts/strip`, { signal: AbortSignal.timeout(4000) });
      if (answer.ok) {
        show(await answer.json());
      }
    } catch {
      // The page that this is on says itself when nothing comes.
    }
  };

  window.splitsightSound = {
    wanted,
    ready,
    play,
    want: (on) => {
      try {
        localStorage.setItem(KEY, on ? "on" : "off");
      } catch {
        // A private window keeps nothing: it sounds until it is closed.
      }
    },
  };
  if (strip) {
    // The count is on the page: only what is new since has to be asked for.
    afterLoad(() => {
      look();
      setInterval(look, EVERY_MS);
    });
  }
})();
