//! The Date field of responses (RFC 9110, 5.6.7), made once a second.

use http::HeaderValue;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
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

/// Civil date from days by the proleptic Gregorian calendar.
fn text(unix_s: u64) -> String {
    let (days, of_day) = (unix_s / 86_400, unix_s % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (name, month) = (DAYS[days as usize % 7], MONTHS[month as usize - 1]);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
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
