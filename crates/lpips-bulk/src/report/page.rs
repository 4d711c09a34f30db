//! HTML of a report page: a template with its style, scripts and data.

use lpips_eval::html;
use sha2::{Digest, Sha256};

use crate::report::data::PageData;
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    include_str!("page.js"),
    include_str!("charts.js"),
    include_str!("viewer.js"),
    include_str!("table.js"),
    include_str!("keys.js"),
);

/// Fills the template. Its content security policy allows this style and script alone, by their hashes.
pub(super) fn page(title: &str, data: &PageData<'_>) -> Result<String> {
    let data = serde_json::to_string(data)
        .map_err(|error| Error::invalid(format!("the report's data can't be written: {error}")))?;
    // JSON has this character in texts only; escaped, no name can end the element or begin another.
    let data = data.replace('<', "\\u003c");
    // A browser reads every line end as one character before it hashes.
    let (style, script) = (STYLE.replace("\r\n", "\n"), SCRIPT.replace("\r\n", "\n"));
    let (style_hash, script_hash) = (hash(&style), hash(&script));
    Ok(html::fill(TEMPLATE, &|name| match name {
        "title" => html::escape(title),
        "style" => style.clone(),
        "script" => script.clone(),
        "style-hash" => style_hash.clone(),
        "script-hash" => script_hash.clone(),
        "data" => data.clone(),
        _ => String::new(),
    }))
}

/// A hash source of the content security policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", html::base64(&Sha256::digest(text)))
}
