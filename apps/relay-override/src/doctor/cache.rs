//! How long the Relay Proxy's own cache hides what is in Redis: `localTtl`, or `CACHE_TTL`.
//!
//! `launchdarkly/ld-relay`, `docs/configuration.md` and `docs/persistent-storage.md`: 30 s unless
//! set; a negative one never expires, and then Redis is read only when the Relay starts. The
//! variable wins over the file.

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheTtl {
    /// It caches nothing.
    Off,
    /// It asks Redis again after this time.
    For {
        /// The time, rounded up.
        seconds: u64,
        /// Whether nobody set it.
        is_default: bool,
    },
    /// It asks Redis once.
    Forever,
}

impl CacheTtl {
    /// From the Relay Proxy's configuration file and variable, as far as they are known.
    ///
    /// # Errors
    /// Where it is set to what is no time.
    pub fn find(configuration: Option<&str>, variable: Option<&str>) -> Result<Self, String> {
        let set = variable.map(str::to_owned).or_else(|| local_ttl(configuration?));
        let Some(text) = set else { return Ok(Self::For { seconds: 30, is_default: true }) };
        let milliseconds = milliseconds(&text)
            .ok_or_else(|| format!("its cache time {text:?} is no time; it may be such as 30s, 1m30s or -1s"))?;
        Ok(match milliseconds {
            ..0 => Self::Forever,
            0 => Self::Off,
            positive => Self::For { seconds: positive.unsigned_abs().div_ceil(1000), is_default: false },
        })
    }
}

/// The `localTtl` of the section `[Redis]`; names are read in any case, as the Relay does.
fn local_ttl(configuration: &str) -> Option<String> {
    let mut is_redis = false;
    for line in configuration.lines().map(str::trim) {
        if line.starts_with('[') {
            is_redis = line.to_ascii_lowercase().starts_with("[redis]");
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if is_redis && key.trim().eq_ignore_ascii_case("localTtl") {
            let value = value.split(['#', ';']).next().unwrap_or_default();
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}

/// Reads `1m30s`, `-1s`, `500ms`.
fn milliseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(number.checked_mul(factor)?)?;
    }
    (!text.is_empty()).then_some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_where_the_relay_finds_it() {
        let after = |seconds| Ok(CacheTtl::For { seconds, is_default: false });
        let default = Ok(CacheTtl::For { seconds: 30, is_default: true });
        for (configuration, variable, expected) in [
            (None, None, default.clone()),
            (Some("[Redis]\n host = \"x\"\n"), None, default),
            (Some("[redis]\n LocalTTL = \"1m30s\" # why\n"), None, after(90)),
            (Some("[DynamoDB]\n localTtl = 1s\n[Redis]\n localTtl = 1500ms\n"), None, after(2)),
            (Some("[Redis]\n localTtl = -1s\n"), None, Ok(CacheTtl::Forever)),
            (Some("[Redis]\n localTtl = 30s\n"), Some("0s"), Ok(CacheTtl::Off)),
            (
                None,
                Some("soon"),
                Err("its cache time \"soon\" is no time; it may be such as 30s, 1m30s or -1s".to_owned()),
            ),
            (None, Some("30"), Err("its cache time \"30\" is no time; it may be such as 30s, 1m30s or -1s".to_owned())),
        ] {
            assert_eq!(CacheTtl::find(configuration, variable), expected, "{configuration:?} {variable:?}");
        }
    }
}
