//! Values with units: durations, signals, users. Each error says what would be right.
//! Neighbour: `parse`.

use super::User;
use crate::shape::Share;
use kernel::abi::signal::Signal;
use kernel::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration: a decimal number and a unit, as in `"1.5s"`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "write a number and one of the units ns, us, ms, s, min, h, as in \"1.5s\"";
    let bad = || format!("{text:?} is not a duration: {hint}");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| {
        if text.is_empty() { bad() } else { format!("{text:?} has no unit: {hint}") }
    })?;
    let (number, unit) = (&text[..end], text[end..].trim());
    let (_, scale) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("{unit:?} in {text:?} is no unit of time: {hint}"))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |s: &str| s.parse::<u64>().map_err(|_| bad());
    let (whole, places) = (digits(whole)?, u32::try_from(fraction.len()).map_err(|_| bad())?);
    let fraction = u128::from(digits(fraction)?) * u128::from(*scale);
    let divisor = 10_u128.checked_pow(places).ok_or_else(bad)?;
    if fraction % divisor != 0 {
        return Err(format!("{text:?} is finer than a nanosecond, the smallest step of the clock"));
    }
    let nanos = whole.checked_mul(*scale).and_then(|n| n.checked_add((fraction / divisor) as u64));
    Ok(Duration::from_nanos(nanos.ok_or_else(|| format!("{text:?} is longer than 584 years"))?))
}

/// Reads a part of all packets: a percentage, as in `"0.5%"`.
pub fn parse_share(text: &str) -> Result<Share, String> {
    let bad = || format!("{text:?} is no part of all packets: write a percentage, as in \"0.5%\"");
    let number = text.strip_suffix('%').ok_or_else(bad)?.trim();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 4 {
        return Err(format!("{}, with at most four decimals", bad()));
    }
    let whole: u32 = whole.parse().map_err(|_| bad())?;
    let fraction: u32 = format!("{fraction:0<4}").parse().map_err(|_| bad())?;
    let millionths = whole.checked_mul(10_000).and_then(|it| it.checked_add(fraction));
    match millionths {
        Some(it) if it <= 1_000_000 => Ok(Share(it)),
        Some(_) | None => Err(format!("{text:?} is more than all packets: 100% is the most")),
    }
}

/// Reads bits a second, as in `"10Gbit/s"`.
pub fn parse_bandwidth(text: &str) -> Result<u64, String> {
    const RATES: [(&str, u64); 4] =
        [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000), ("bit/s", 1)];
    let bad = || {
        format!(
            "{text:?} is no bandwidth: write a whole number and bit/s, kbit/s, Mbit/s or Gbit/s, as in \"10Mbit/s\""
        )
    };
    let known = RATES.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = known.ok_or_else(bad)?;
    let number: u64 = number.trim().parse().map_err(|_| bad())?;
    let rate = number.checked_mul(*scale).ok_or_else(bad)?;
    if rate == 0 {
        return Err(
            "a bandwidth of 0 lets nothing through: write a fault, partition or unplug".into()
        );
    }
    Ok(rate)
}

/// Reads a signal: a name with or without SIG, or a number.
pub fn parse_signal(text: &str) -> Result<Signal, String> {
    if let Ok(number) = text.parse::<u64>() {
        return Signal::new(number).ok_or_else(|| format!("signals go from 1 to 64, not {number}"));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let all = || (1..=31).filter_map(Signal::new);
    let short = |s: Signal| s.standard_name().and_then(|n| n.strip_prefix("SIG")).unwrap_or("");
    all().find(|s| short(*s) == name).ok_or_else(|| {
        let near = super::section::suggestion(name, all().map(short));
        format!(
            "there is no signal {text:?}{near}; signals are named as in \"KILL\" or \"SIGTERM\""
        )
    })
}

/// Reads a user: a name, `UID` or `UID:GID`.
pub fn parse_user(text: &str) -> Result<User, String> {
    let bad = || format!("{text:?} is no user: write a name, \"UID\" or \"UID:GID\"");
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    if !starts_with_digit {
        let plain = |c: char| c.is_alphanumeric() || "_.-".contains(c);
        let good = !text.is_empty() && text.chars().all(plain);
        return if good { Ok(User::Name(text.to_owned())) } else { Err(bad()) };
    }
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    let number = |s: &str| s.parse().map_err(|_| bad());
    Ok(User::Ids { uid: number(uid)?, gid: number(gid)?, groups: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        let cases = [
            ("5s", 5_000_000_000),
            ("1.5ms", 1_500_000),
            ("0.1us", 100),
            ("2min", 120_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "s", "5 parsecs", "1.5ns", "-1s", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_percentages_and_bandwidths_have_units() {
        let shares = [("1%", 10_000), ("0.5%", 5_000), ("0.0001%", 1), ("100 %", 1_000_000)];
        for (text, millionths) in shares {
            assert_eq!(parse_share(text), Ok(Share(millionths)), "{text}");
        }
        for text in ["", "1", "%", "101%", "0.00001%", "-1%", ".5%", "1.%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
        let rates = [("10Gbit/s", 10_000_000_000), ("56 kbit/s", 56_000), ("1bit/s", 1)];
        for (text, rate) in rates {
            assert_eq!(parse_bandwidth(text), Ok(rate), "{text}");
        }
        for text in ["", "10", "10 Gb", "0bit/s", "99999999999999Gbit/s"] {
            assert!(parse_bandwidth(text).is_err(), "{text}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["KILL", "SIGKILL", "sigkill", "9"] {
            assert_eq!(parse_signal(text), Ok(Signal::SIGKILL));
        }
        assert!(parse_signal("KIL").unwrap_err().contains("did you mean \"KILL\""));
        assert!(parse_signal("65").is_err());
    }

    #[test]
    fn users_are_names_or_numbers() {
        assert_eq!(
            parse_user("65534"),
            Ok(User::Ids { uid: 65534, gid: 65534, groups: Vec::new() })
        );
        assert_eq!(parse_user("1:2"), Ok(User::Ids { uid: 1, gid: 2, groups: Vec::new() }));
        assert_eq!(parse_user("nobody"), Ok(User::Name("nobody".into())));
        assert!(parse_user("a b").is_err());
    }
}
