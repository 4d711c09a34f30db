//! Differences between the settings of an earlier run and those of now.

use std::fmt;

use serde_json::{Map, Value};

/// A setting that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The setting's name, with dots between the names of groups: `optimizer.lr`.
    pub key: String,
    /// Its earlier value; `None` where it was not given.
    pub before: Option<Value>,
    /// Its value now; `None` where it is not given.
    pub now: Option<Value>,
}

/// Lists the settings that differ, groups (JSON objects) by their members, in the order of `before` and then of `now`.
/// A setting that is null counts as not given.
///
/// ```
/// use lpips_data::diff::{differences, sentence};
/// use serde_json::json;
///
/// let before = json!({"net": "alex", "optimizer": {"lr": 0.0001, "epochs": 5}});
/// let now = json!({"net": "alex", "optimizer": {"lr": 0.001, "epochs": 5}, "layers": true});
/// let found = differences(&before, &now);
/// assert_eq!(sentence(&found), "optimizer.lr was 0.0001 and is 0.001, layers was not given and is true");
/// ```
pub fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let empty = Map::new();
    compare(before.as_object().unwrap_or(&empty), now.as_object().unwrap_or(&empty), "", &mut found);
    found
}

fn compare(before: &Map<String, Value>, now: &Map<String, Value>, prefix: &str, found: &mut Vec<Difference>) {
    let added = now.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(added) {
        let given = |settings: &Map<String, Value>| settings.get(key).filter(|value| !value.is_null()).cloned();
        match (given(before), given(now)) {
            (Some(Value::Object(before)), Some(Value::Object(now))) => {
                compare(&before, &now, &format!("{prefix}{key}."), found);
            }
            (before, now) if before != now => found.push(Difference { key: format!("{prefix}{key}"), before, now }),
            _ => {}
        }
    }
}

impl Difference {
    /// The difference of two things that exist side by side: `--crop is 64 in a.jsonl and 32 in b.jsonl`.
    pub fn between(&self, first: &str, second: &str) -> String {
        let (a, b) = (text(self.before.as_ref()), text(self.now.as_ref()));
        format!("{} is {a} in {first} and {b} in {second}", self.key)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {}", self.key, text(self.before.as_ref()), text(self.now.as_ref()))
    }
}

/// All differences in one line: `net was alex and is vgg, size was 64 and is 32`.
pub fn sentence(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A value as a user would type it.
fn text(value: Option<&Value>) -> String {
    match value {
        None => "not given".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) if values.is_empty() => "empty".to_string(),
        Some(Value::Array(values)) => values.iter().map(|value| text(Some(value))).collect::<Vec<_>>().join(","),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_diff_names_changed_added_and_removed_keys_in_nested_groups() {
        let before = json!({"a": 1, "group": {"b": "x", "c": [1, 2]}, "gone": false, "null": null, "same": 1.5});
        let now = json!({"a": 2, "group": {"b": "x", "c": []}, "same": 1.5, "added": {"d": 1}});
        let found = differences(&before, &now);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "a was 1 and is 2",
                "group.c was 1,2 and is empty",
                "gone was false and is not given",
                "added was not given and is {\"d\":1}",
            ]
        );
        assert_eq!(found[0].between("x.jsonl", "y.jsonl"), "a is 1 in x.jsonl and 2 in y.jsonl");
        assert!(differences(&now, &now).is_empty());
        assert_eq!(differences(&now, &before).len(), found.len());
    }
}
