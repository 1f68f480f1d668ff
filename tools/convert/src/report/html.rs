//! Text that is safe in HTML and SVG, and tables.

use std::fmt::Write;

/// Text as HTML and SVG take it, without characters that neither allows.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A page that needs nothing else; `top` is HTML below its heading, `body` its sections.
pub fn page(name: &str, title: &str, intro: &str, top: &str, body: &str) -> String {
    let name = escape(name);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{name}: {title}</title>\n\
         <style>{}</style></head>\n<body><header><h1>{name}</h1>{}{top}</header>\n<main>{body}</main></body></html>\n",
        include_str!("page.css"),
        note(intro),
    )
}

/// A table of texts. All columns but the first are numbers, unless `texts` says so.
pub fn table(head: &[&str], rows: &[Vec<String>], texts: bool) -> String {
    let class = if texts { " class=\"texts\"" } else { "" };
    let mut out = format!("<div class=\"wide\"><table{class}>");
    if !head.is_empty() {
        let cells: Vec<String> = head.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
        let _ = write!(out, "<thead><tr>{}</tr></thead>", cells.concat());
    }
    out.push_str("<tbody>");
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
        let _ = write!(out, "<tr>{}</tr>", cells.concat());
    }
    out.push_str("</tbody></table></div>");
    out
}

/// A section with its heading; `body` is HTML.
pub fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{id}\"><h2>{}</h2>{body}</section>\n", escape(heading))
}

/// A paragraph of text.
pub fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>", escape(text))
}

/// A picture with its caption; `svg` is an element.
pub fn figure(caption: &str, svg: &str) -> String {
    format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption))
}

/// Pictures side by side where there is room.
pub fn grid(figures: &[String]) -> String {
    format!("<div class=\"grid\">{}</div>", figures.concat())
}

/// A number with commas between thousands.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (k, c) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_text() {
        assert_eq!(escape("<script a=\"b\" c='d'>&\0"), "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!([7, 999, 1000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }
}
