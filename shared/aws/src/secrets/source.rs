//! Where a secret is: a pair of variables, `X` and `X_PARAMETER`.

use crate::{Lookup, variable};
use secrecy::SecretString;

/// Where a secret is.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// Here.
    Value(SecretString),
    /// In the SSM parameter of this name.
    Parameter(String),
}

impl SecretSource {
    /// What `X` holds, or else the parameter that `X_PARAMETER` names; nothing where neither is set,
    /// and an empty variable is not. With both set `X` wins, with a warning: it is the one that
    /// somebody sets to override the deployment's.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<Self> {
        Self::read(lookup, name)
    }

    fn read(lookup: Lookup, name: &str) -> Option<Self> {
        let parameter_variable = format!("{name}_PARAMETER");
        let value = variable(lookup, name);
        let parameter = variable(lookup, &parameter_variable);
        match (value, parameter) {
            (Some(value), parameter) => {
                if parameter.is_some() {
                    tracing::warn!("both {name} and {parameter_variable} are set: {name} counts");
                }
                Some(Self::Value(value.into()))
            }
            (None, Some(parameter)) => Some(Self::Parameter(parameter)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn source(value: Option<&str>, parameter: Option<&str>) -> Option<SecretSource> {
        let lookup = |name: &str| match name {
            "KEY" => value.map(str::to_owned),
            "KEY_PARAMETER" => parameter.map(str::to_owned),
            _ => None,
        };
        SecretSource::from_lookup(&lookup, "KEY")
    }

    #[test]
    fn the_value_wins_over_the_parameter_and_empty_is_unset() {
        for (value, parameter, expected) in [
            (None, None, None),
            (Some(""), Some(" "), None),
            (Some("sdk-1\n"), None, Some("sdk-1")),
            (Some("sdk-1"), Some("/p"), Some("sdk-1")),
            (Some(""), Some("/p"), Some("parameter /p")),
            (None, Some("/p"), Some("parameter /p")),
        ] {
            let found = source(value, parameter).map(|source| match source {
                SecretSource::Value(value) => value.expose_secret().to_owned(),
                SecretSource::Parameter(name) => format!("parameter {name}"),
            });
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn a_source_does_not_print_its_secret() {
        let printed = format!("{:?}", source(Some("sdk-1"), None));
        assert!(!printed.contains("sdk-1"), "{printed}");
    }
}
