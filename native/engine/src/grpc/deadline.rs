//! A call's deadline: the client says how long it waits, the origin is told what is left of that.

use std::fmt::Write as _;

/// Most digits (PROTOCOL-HTTP2, "TimeoutValue").
const MAX_DIGITS: usize = 8;
/// The largest number of so many digits.
const MAX_VALUE: u64 = 99_999_999;

/// The value of a `grpc-timeout` field in microseconds, rounded up; None when it is none.
#[must_use]
pub fn parse(value: &str) -> Option<u64> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    // 99,999,999 hours are 3.6 * 10^17 us.
    Some(match unit {
        b'H' => amount * 3_600_000_000,
        b'M' => amount * 60_000_000,
        b'S' => amount * 1_000_000,
        b'm' => amount * 1_000,
        b'u' => amount,
        b'n' => amount.div_ceil(1_000),
        _ => return None,
    })
}

/// Appends the value of a `grpc-timeout` field, in the finest unit that holds it, rounded down: the origin is never told
/// that there is more time than there is.
pub fn write(out: &mut String, left_us: u64) {
    let units = [(1, 'u'), (1_000, 'm'), (1_000_000, 'S'), (60_000_000, 'M')];
    let (amount, unit) = units
        .iter()
        .map(|&(length_us, unit)| (left_us / length_us, unit))
        .find(|&(amount, _)| amount <= MAX_VALUE)
        .unwrap_or(((left_us / 3_600_000_000).min(MAX_VALUE), 'H'));
    let _ = write!(out, "{amount}{unit}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        for (value, us) in [
            ("1H", 3_600_000_000),
            ("2M", 120_000_000),
            ("99999999S", 99_999_999_000_000),
            ("100m", 100_000),
            ("7u", 7),
            ("1n", 1),
            ("1000n", 1),
            ("1001n", 2),
            ("00000000m", 0),
        ] {
            assert_eq!(parse(value), Some(us), "{value}");
        }
        for value in
            ["", "S", "1", "1s", "123456789S", "-1S", "+1S", "1.5S", " 1S", "1S ", "1 S", "1SS", "1\u{b5}", "0x1S"]
        {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_more_and_hardly_less(left_us in 0_u64..360_000_000_000_000_000) {
            let mut text = String::new();
            write(&mut text, left_us);
            let read = parse(&text).unwrap();
            prop_assert!(read <= left_us);
            // A unit holds at least 1,666,666 of the next finer one's largest numbers.
            prop_assert!(left_us - read <= left_us / 1_000_000, "{left_us} as {text}");
        }

        #[test]
        fn nothing_else_is_taken(value in "\\PC{0,12}") {
            let good = value.len() >= 2 && value.len() <= 9 && value.is_ascii()
                && value[..value.len() - 1].bytes().all(|byte| byte.is_ascii_digit())
                && "HMSmun".contains(&value[value.len() - 1..]);
            prop_assert_eq!(parse(&value).is_some(), good);
        }
    }
}
