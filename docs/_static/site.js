// Small corrections to the theme, each with its reason.
document.addEventListener("DOMContentLoaded", () => {
  // The arrows that open a part of the navigation have no name to read aloud.
  for (const summary of document.querySelectorAll(".bd-sidenav summary")) {
    const link = summary.closest("li").querySelector("a");
    summary.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
  }
  // These have a name for screen readers that differs from the text they show: the text is better.
  for (const named of document.querySelectorAll(".search-button__button, details.hide > summary")) {
    if (named.textContent.trim()) named.removeAttribute("aria-label");
  }
  // What is wider than its box can be scrolled with the keyboard, at any width of the window.
  const watcher = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const boxes = "pre, .pst-scrollable-table-container, .cell_output .text_html";
  for (const box of document.querySelectorAll(boxes)) watcher.observe(box);
});
