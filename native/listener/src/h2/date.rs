//! The Date field of responses (RFC 9110, 5.6.7), made once a second.

use http::HeaderValue;
use portcullis_engine::civil::Civil;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date of the last second that was asked for.
#[derive(Debug, Default)]
pub struct Date {
    last: Option<(u64, HeaderValue)>,
}

impl Date {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    pub fn at(&mut self, unix_s: u64) -> HeaderValue {
        match &self.last {
            Some((second, value)) if *second == unix_s => value.clone(),
            _ => {
                let value = HeaderValue::try_from(text(unix_s)).expect("letters, digits, commas, colons");
                self.last.insert((unix_s, value)).1.clone()
            }
        }
    }
}

fn text(unix_s: u64) -> String {
    let Civil { year, month, day, weekday, hours, minutes, seconds } = Civil::of(unix_s);
    let (name, month) = (DAYS[weekday as usize], MONTHS[month as usize - 1]);
    format!("{name}, {day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_9110() {
        let mut date = Date::default();
        for (unix_s, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            assert_eq!(date.at(unix_s), expected);
        }
    }
}
