//! Which variable a flag becomes. Pure.
//!
//! A flag's key is the variable's name. Where it cannot be one, the flag is refused by name unless somebody said what
//! it should be called: a name that nobody chose would be looked for in vain.

use std::collections::HashMap;

use crate::edit::is_legal_name;

/// Why a flag has no variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Its key has characters that no variable may have.
    #[error(
        "flag `{0}` cannot be a variable's name; give it one with --map {0}=NAME, or all such with --names convert"
    )]
    Illegal(String),
    /// Two flags want the same variable.
    #[error("flags `{0}` and `{1}` would both be the variable {2}; give one of them another name with --map")]
    Taken(String, String, String),
}

/// What becomes of keys that are no legal variable names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Illegal {
    /// The flag is refused by name
    #[default]
    Refuse,
    /// `my-flag` becomes `MY_FLAG`
    Convert,
}

/// The rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names given to flags one by one; the prefix is not put before them.
    pub map: HashMap<String, String>,
    /// What stands before all other names.
    pub prefix: String,
    /// What becomes of keys that are no legal names.
    pub illegal: Illegal,
}

impl Names {
    /// The variable of one flag.
    pub fn of(&self, flag: &str) -> Result<String, NameError> {
        if let Some(name) = self.map.get(flag) {
            return Ok(name.clone());
        }
        let name = format!("{}{flag}", self.prefix);
        let name = match self.illegal {
            Illegal::Convert if !is_legal_name(&name) => format!("{}{}", self.prefix, converted(flag)),
            _ => name,
        };
        if is_legal_name(&name) { Ok(name) } else { Err(NameError::Illegal(flag.to_owned())) }
    }

    /// The variables of flags, by flag; what cannot be is told apart. Of two flags for one name the first gets it.
    pub fn assign<'a>(&self, flags: impl IntoIterator<Item = &'a str>) -> (Vec<(String, String)>, Vec<NameError>) {
        let (mut assigned, mut errors) = (Vec::new(), Vec::new());
        let mut taken: HashMap<String, String> = HashMap::new();
        for flag in flags {
            match self.of(flag) {
                Err(error) => errors.push(error),
                Ok(name) => match taken.get(&name) {
                    Some(first) if first == flag => {}
                    Some(first) => errors.push(NameError::Taken(first.clone(), flag.to_owned(), name)),
                    None => {
                        taken.insert(name.clone(), flag.to_owned());
                        assigned.push((flag.to_owned(), name));
                    }
                },
            }
        }
        (assigned, errors)
    }
}

fn converted(flag: &str) -> String {
    let word = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' };
    flag.chars().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_own_name_and_is_never_changed_unasked() {
        let names = Names::default();
        assert_eq!(names.of("SAMPLE_API_URL").unwrap(), "SAMPLE_API_URL");
        assert_eq!(names.of("lower_1").unwrap(), "lower_1");
        for key in ["my-flag", "a.b", "1st", "", "ünicode", "a b", "a=b"] {
            assert_eq!(names.of(key).unwrap_err(), NameError::Illegal(key.to_owned()));
        }
    }

    #[test]
    fn names_are_converted_mapped_and_prefixed_where_asked() {
        let map = HashMap::from([("my-flag".to_owned(), "OTHER".to_owned())]);
        let names = Names { map, prefix: "APP_".to_owned(), illegal: Illegal::Convert };
        let of = |flag| names.of(flag).unwrap();
        assert_eq!(
            [of("my-flag"), of("new-checkout.v2"), of("lower"), of("1st")],
            ["OTHER", "APP_NEW_CHECKOUT_V2", "APP_lower", "APP_1st"]
        );
        let bare = Names { illegal: Illegal::Convert, ..Names::default() };
        assert_eq!(bare.of("1st").unwrap_err(), NameError::Illegal("1st".to_owned()));
    }

    #[test]
    fn two_flags_never_share_a_variable() {
        let names = Names { illegal: Illegal::Convert, ..Names::default() };
        let (assigned, errors) = names.assign(["a-b", "A_B", "a-b", "c"]);
        assert_eq!(assigned, [("a-b".to_owned(), "A_B".to_owned()), ("c".to_owned(), "c".to_owned())]);
        assert_eq!(errors, [NameError::Taken("a-b".to_owned(), "A_B".to_owned(), "A_B".to_owned())]);
    }
}
