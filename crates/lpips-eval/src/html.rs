//! Pieces of self-contained HTML pages: escaped text, a filled template, pictures as data URLs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Escapes text for element content and quoted attributes.
///
/// ```
/// assert_eq!(lpips_eval::html::escape("a < b & 'c'"), "a &lt; b &amp; &#39;c&#39;");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Fills a template: each `{{name}}` is replaced by its value, once; a value is not searched for names.
///
/// ```
/// let page = lpips_eval::html::fill("<p>{{a}} {{b}}</p>", &|name| format!("{name} {{{{a}}}}"));
/// assert_eq!(page, "<p>a {{a}} b {{a}}</p>");
/// ```
pub fn fill(template: &str, value: &dyn Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut page = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        page += &value(name);
        page += rest;
    }
    page
}

/// The `data:` URL of a file's bytes, of a media type such as `image/png`.
pub fn data_url(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", base64(bytes))
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_escape_neutralises_script_tags() {
        assert_eq!(
            escape("<script>alert('\"&\"')</script>"),
            "&lt;script&gt;alert(&#39;&quot;&amp;&quot;&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn html_template_without_a_closing_brace_stays_as_it_is() {
        assert_eq!(fill("a {{b", &|_| "never".to_string()), "a neverb");
        assert_eq!(data_url("image/png", &[0, 1, 2]), "data:image/png;base64,AAEC");
    }
}
