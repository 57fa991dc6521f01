/**
 * The page's reading of Markdown, in the browser: code blocks, code, bold, links and mentions.
 * It makes nodes and sets their text; a message is never parsed as HTML.
 */
export const markup = String.raw`
function node(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function appendLink(parent, text, address) {
  const link = node("a", "", text);
  link.href = address;
  link.rel = "noopener noreferrer";
  link.target = "_blank";
  parent.append(link);
}

// Code, bold, [text](address), bare addresses, mentions; what fits none of them is text.
const inline = new RegExp(
  "\x60([^\x60\\n]+)\x60|\\*\\*([^*\\n]+)\\*\\*|\\[([^\\]\\n]+)\\]\\((https?://[^\\s)]+)\\)" +
  "|(https?://[^\\s<>\"')\\]]+[^\\s<>\"')\\].,;:!?])|((?<![\\w@.])@[a-zA-Z0-9][a-zA-Z0-9._-]*)", "g");

function appendInline(parent, text) {
  let end = 0;
  for (const match of text.matchAll(inline)) {
    parent.append(text.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[1] !== undefined) parent.append(node("code", "", match[1]));
    else if (match[2] !== undefined) parent.append(node("strong", "", match[2]));
    else if (match[3] !== undefined) appendLink(parent, match[3], match[4]);
    else if (match[5] !== undefined) appendLink(parent, match[5], match[5]);
    else parent.append(node("span", "mention", match[6]));
  }
  parent.append(text.slice(end));
}

function appendText(parent, text) {
  const fence = /(?:^|\n)\x60\x60\x60[^\n\x60]*\n([\s\S]*?)(?:\n?\x60\x60\x60(?:\n|$)|$)/g;
  let end = 0;
  for (const match of text.matchAll(fence)) {
    appendInline(parent, text.slice(end, match.index));
    end = match.index + match[0].length;
    const block = node("pre");
    block.append(node("code", "", match[1]));
    parent.append(block);
  }
  appendInline(parent, text.slice(end));
}
`;
