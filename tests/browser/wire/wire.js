// What a viewer in the browser does: fetch, decode, draw. The tests call these functions.
import * as omezarr from "ome-zarr.js";
import * as zarr from "zarrita";

const base64 = (data) =>
  new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob([data]));
  });

// A part of one array; `null` in the selection means the whole axis.
async function read(address, selection) {
  const array = await zarr.open(new zarr.FetchStore(address), { kind: "array" });
  const { data, shape } = await zarr.get(array, selection);
  return { dtype: array.dtype, shape, pixels: await base64(data) };
}

// An image as ome-zarr.js renders it, drawn into the page's canvas.
async function draw(address, size) {
  const picture = new Image();
  picture.src = await omezarr.render(address, size);
  await picture.decode();
  const canvas = document.querySelector("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { shape: [canvas.height, canvas.width, 4], pixels: await base64(data) };
}

// The status of an answer with some of its headers, or the words of the failure.
async function ask(address, options) {
  try {
    const answer = await fetch(address, options);
    return { status: answer.status, headers: Object.fromEntries(answer.headers) };
  } catch (error) {
    return { failure: String(error) };
  }
}

window.wire = { ask, draw, read };
