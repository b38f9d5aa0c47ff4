//! How large DynamoDB takes an item to be.
//!
//! The rules are AWS's ("`DynamoDB` item sizes and formats" in the developer guide): the UTF-8 bytes
//! of the attribute names and of the values, with rules of their own for numbers and documents.

use serde_json::Value;

/// What a list or map weighs beside its content.
const DOCUMENT: usize = 3;

/// The size in bytes of an item given as attribute values (`{"key": {"S": "…"}}`).
pub fn item_size(item: &Value) -> usize {
    let attributes = item.as_object().into_iter().flatten();
    attributes.map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|typed| typed.iter().next()) else {
        return 0;
    };
    let text = value.as_str().unwrap_or_default();
    let elements = || value.as_array().into_iter().flatten();
    match kind.as_str() {
        "S" => text.len(),
        "N" => number_size(text),
        "B" => binary_size(text),
        "SS" => elements().map(|element| element.as_str().unwrap_or_default().len()).sum(),
        "NS" => elements().map(|element| number_size(element.as_str().unwrap_or_default())).sum(),
        "BS" => elements().map(|element| binary_size(element.as_str().unwrap_or_default())).sum(),
        "L" => DOCUMENT + elements().map(|element| 1 + value_size(element)).sum::<usize>(),
        "M" => {
            let fields = value.as_object().into_iter().flatten();
            DOCUMENT + fields.map(|(name, field)| 1 + name.len() + value_size(field)).sum::<usize>()
        }
        // BOOL and NULL
        _ => 1,
    }
}

/// One byte per two significant digits, one more, and one for a sign.
fn number_size(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    significant.div_ceil(2) + 1 + usize::from(number.starts_with('-'))
}

/// The bytes behind the base64 text.
fn binary_size(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_item_weighs_its_names_and_values() {
        for (item, size) in [
            (json!({}), 0),
            (json!({"key": {"S": "größe"}}), 3 + 7),
            (json!({"n": {"N": "0"}}), 1 + 1),
            (json!({"n": {"N": "12000"}}), 1 + 2),
            (json!({"n": {"N": "-1.99"}}), 1 + 4),
            (json!({"b": {"B": "AAECAw=="}}), 1 + 4),
            (json!({"t": {"BOOL": true}, "u": {"NULL": true}}), 4),
            (json!({"s": {"SS": ["ab", "c"]}}), 1 + 3),
            (json!({"l": {"L": [{"S": "ab"}, {"N": "7"}]}}), 1 + 3 + 3 + 3),
            (json!({"m": {"M": {"ab": {"S": "c"}}}}), 1 + 3 + 1 + 3),
        ] {
            assert_eq!(item_size(&item), size, "{item}");
        }
    }
}
