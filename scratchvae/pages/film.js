/* The film of a latent plane: between two kept epochs points move in straight lines, and the
   decoded planes are faded one into the other. */
(() => {
  const data = JSON.parse(document.getElementById("film-data").textContent);
  const bytes = Uint8Array.from(atob(data.means), (c) => c.charCodeAt(0));
  const steps = new Int16Array(bytes.buffer);
  const last = data.epochs.length - 1, count = data.count, scale = data.reach / 32767;
  const element = (name) => document.getElementById(`film-${name}`);
  const [points, plane, play, slider, epoch] =
    ["points", "plane", "play", "at", "epoch"].map(element);
  const classes = data.labels ? [...new Set(data.labels)].filter((k) => k >= 0).sort((a, b) => a - b) : [];
  const few = classes.length <= data.colours.length;
  const colour = (k) => (k < 0 || !few ? "#9aa0a6" : data.colours[k % data.colours.length]);
  const pictures = data.planes.map((address) => Object.assign(new Image(), { src: address }));
  const SECONDS = 0.9; // from one kept epoch to the next
  let t = last, playing = 0;

  /* μ of image i at the time t, in the units of the latent space. */
  function mean(i, time = t) {
    const k = Math.min(Math.floor(time), last), next = Math.min(k + 1, last), part = time - k;
    return [0, 1].map((j) => {
      const a = steps[2 * (k * count + i) + j], b = steps[2 * (next * count + i) + j];
      return (a + part * (b - a)) * scale;
    });
  }

  function fitted(canvas) {
    const size = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const context = canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    return [context, canvas.clientWidth];
  }

  function drawPoints() {
    const [c, size] = fitted(points), margin = 26, inner = size - margin - 6;
    const at = (v) => margin + (inner * (v + data.reach)) / (2 * data.reach);
    const place = ([x, y]) => [at(x), size - at(y)];
    c.clearRect(0, 0, size, size);
    c.strokeStyle = "#c9ced4";
    c.setLineDash([4, 3]);
    for (const radius of [1, 2, 3]) {
      if (radius > data.reach) continue;
      c.beginPath();
      c.arc(...place([0, 0]), (inner * radius) / (2 * data.reach), 0, 7);
      c.stroke();
    }
    c.setLineDash([]);
    c.strokeStyle = c.fillStyle = "#222";
    c.beginPath();
    c.moveTo(margin, 6);
    c.lineTo(margin, size - margin);
    c.lineTo(size - 6, size - margin);
    c.stroke();
    c.font = "11px 'DejaVu Sans', system-ui, sans-serif";
    c.textAlign = "center";
    const unit = data.reach > 7 ? 5 : 2;
    for (let v = -unit * Math.floor(data.reach / unit); v <= data.reach; v += unit) {
      const words = String(v).replace("-", "−");
      c.fillText(words, at(v), size - margin + 14);
      c.fillText(words, margin - 12, size - at(v) + 4);
    }
    const where = classes.map(() => [[], []]);
    c.globalAlpha = 0.75;
    for (let i = 0; i < count; i++) {
      const z = mean(i), label = data.labels ? data.labels[i] : 0;
      c.fillStyle = colour(label);
      c.beginPath();
      c.arc(...place(z), count > 400 ? 2.1 : 3, 0, 7);
      c.fill();
      const k = classes.indexOf(label);
      if (k >= 0 && few) z.forEach((v, j) => where[k][j].push(v));
    }
    c.globalAlpha = 1;
    if (!few || data.names.length) return;
    c.font = "bold 13px 'DejaVu Sans', system-ui, sans-serif";
    c.lineWidth = 3;
    c.strokeStyle = "#fff";
    classes.forEach((label, k) => {
      const middle = where[k].map((v) => v.sort((a, b) => a - b)[v.length >> 1]);
      const [x, y] = place(middle);
      c.strokeText(label, x, y + 4);
      c.fillStyle = "#222";
      c.fillText(label, x, y + 4);
    });
    c.lineWidth = 1;
  }

  function drawPlane() {
    if (!pictures.length) return;
    const [c, size] = fitted(plane), k = Math.min(Math.floor(t), last);
    c.imageSmoothingEnabled = pictures[k].naturalWidth > size;
    c.globalAlpha = 1;
    if (pictures[k].complete) c.drawImage(pictures[k], 0, 0, size, size);
    c.globalAlpha = t - k;
    if (t > k && pictures[k + 1].complete) c.drawImage(pictures[k + 1], 0, 0, size, size);
  }

  function draw() {
    drawPoints();
    drawPlane();
    const nearest = data.epochs[Math.round(t)];
    slider.value = t;
    slider.setAttribute("aria-valuetext", `epoch ${nearest}`);
    epoch.textContent = `epoch ${nearest}`;
    play.textContent = playing ? "Pause" : "Play";
  }

  function show(time) {
    t = Math.max(0, Math.min(last, time));
    draw();
  }

  function run(before) {
    const mine = ++playing;
    const frame = (now) => {
      if (mine !== playing) return;
      const after = t + (now - before) / 1000 / SECONDS;
      before = now;
      if (after >= last) playing = 0;
      show(after);
      if (playing) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  play.onclick = () => {
    if (playing) {
      playing = 0;
      return draw();
    }
    if (t >= last) t = 0;
    run(performance.now());
  };
  slider.max = last;
  slider.oninput = () => {
    playing = 0;
    show(Number(slider.value));
  };
  slider.onkeydown = (event) => {
    // from one kept epoch to the next
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    playing = 0;
    show(way > 0 ? Math.floor(t + 1) : Math.ceil(t - 1));
  };
  if (data.labels && data.names.length && few) {
    for (const k of classes) {
      const word = document.createElement("span"), dot = document.createElement("span");
      dot.textContent = "● ";
      dot.style.color = colour(k);
      word.append(dot, data.names[k] ?? k);
      element("key").append(word);
    }
  }
  if (!pictures.length) element("decoded").hidden = true;
  document.querySelector("#film .film").hidden = false;
  for (const picture of pictures) picture.decode().then(draw, () => {});
  const watch = new ResizeObserver(draw); // a window, a phone that is turned, a section unfolded
  for (const canvas of [points, plane]) watch.observe(canvas);
  window.film = { mean, show }; // for tests, and for the curious
  draw();
})();
