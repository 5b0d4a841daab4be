/* Arrays as pictures: a pixel a number, on a small canvas that CSS enlarges without smoothing. */

"use strict";

/** The colours of the page's scheme, as [red, green, blue]. */
function schemeColours() {
  const style = getComputedStyle(document.documentElement);
  const parse = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  return { plus: parse("--plus"), minus: parse("--minus"), zero: parse("--card"), ink: parse("--ink") };
}

/** The least and the greatest number of an array, the largest magnitude, and the Euclidean norm. */
function extent(a) {
  let lowest = Infinity, highest = -Infinity, squares = 0;
  for (const each of a) {
    if (each < lowest) lowest = each;
    if (each > highest) highest = each;
    squares += each * each;
  }
  return { lowest, highest, most: Math.max(-lowest, highest), norm: Math.sqrt(squares) };
}

/** Draw numbers of both signs: zero is the page's own colour, the largest magnitude the strongest. */
function drawSigned(canvas, a, rows, columns) {
  const { plus, minus, zero } = schemeColours();
  const { most } = extent(a);
  draw(canvas, a, rows, columns, (value, out, at) => {
    const share = most > 0 ? Math.sqrt(Math.abs(value) / most) : 0; // small numbers stay visible
    const hue = value < 0 ? minus : plus;
    for (let c = 0; c < 3; c++) out[at + c] = zero[c] + share * (hue[c] - zero[c]);
  });
}

/** Draw grey values: 0 is black and 1 is white, in either scheme, as in the data. */
function drawGrey(canvas, a, rows, columns) {
  draw(canvas, a, rows, columns, (value, out, at) => {
    out[at] = out[at + 1] = out[at + 2] = 255 * value; // the array clamps
  });
}

function draw(canvas, a, rows, columns, paint) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    image.data[4 * i + 3] = i < a.length ? 255 : 0;
    if (i < a.length) paint(a[i], image.data, 4 * i);
  }
  context.putImageData(image, 0, 0);
}

/** Rows and columns of a picture of an array: as it is, or wrapped if it is a row. */
function layOut(shape, size) {
  const rows = shape.length > 1 ? shape.slice(0, -1).reduce((a, b) => a * b, 1) : 1;
  const columns = size / rows;
  if (rows > 1 || columns <= 8) return [rows, columns];
  const wide = Math.ceil(Math.sqrt(size * 1.4));
  return [Math.ceil(size / wide), wide];
}
