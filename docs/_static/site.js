// Code and formulas that are wider than the screen can be scrolled with the keyboard.
for (const element of document.querySelectorAll("pre, math[display=block]")) {
  if (element.scrollWidth > element.clientWidth) element.setAttribute("tabindex", "0");
}
