//! The page itself: a template, its style and its script, and the data between them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::data::Data;
use crate::{Error, Result};
use lpips_eval::html::escape;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    include_str!("page.js"),
    include_str!("charts.js"),
    include_str!("viewer.js"),
    include_str!("table.js"),
    include_str!("keys.js"),
);

/// The whole page.
pub(super) fn page(title: &str, data: &Data<'_>) -> Result<String> {
    let data =
        serde_json::to_string(data).map_err(|error| Error::invalid(format!("the page can't be made: {error}")))?;
    // Within JSON it stands in texts alone; like this no name can end the element or open another.
    let data = data.replace('<', "\\u003c");
    // A browser reads a line's end as one character, whatever an editor made of it.
    let (style, script) = (STYLE.replace("\r\n", "\n"), SCRIPT.replace("\r\n", "\n"));
    let (style_hash, script_hash) = (hash(&style), hash(&script));
    Ok(filled(&|name| match name {
        "title" => escape(title),
        "style" => style.clone(),
        "script" => script.clone(),
        "style-hash" => style_hash.clone(),
        "script-hash" => script_hash.clone(),
        "data" => data.clone(),
        _ => String::new(),
    }))
}

/// What the page's policy says of the only style and the only script that it allows.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// The template with each `{{name}}` replaced, once: what comes in is not looked at again.
fn filled(of: &dyn Fn(&str) -> String) -> String {
    let mut parts = TEMPLATE.split("{{");
    let mut page = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        page += &of(name);
        page += rest;
    }
    page
}
