// Small makers of the page's parts; every control has a name that can be read aloud.

export function element(tag, properties = {}, ...children) {
  const { dataset, role, label, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  if (role) made.setAttribute("role", role);
  if (label) made.setAttribute("aria-label", label);
  made.append(...children);
  return made;
}

export function button(text, title, onclick, properties = {}) {
  return element("button", { type: "button", textContent: text, title, label: title, onclick, ...properties });
}

export const short = (value) => Number(Number(value).toPrecision(5));

// A slider with its value beside it. `onInput` returns the value that was taken.
export function slider(name, text, [low, high], step, value, onInput) {
  const shown = element("output", { textContent: short(value) });
  const input = element("input", { type: "range", name, min: low, max: high, step, value });
  input.addEventListener("input", () => (shown.textContent = short(onInput(Number(input.value)))));
  return element("label", {}, element("span", { textContent: text }), input, shown);
}

export function checkbox(name, checked, onChange, ...text) {
  const input = element("input", { type: "checkbox", name, checked });
  input.addEventListener("change", () => onChange(input.checked));
  return element("label", {}, input, ...text);
}
