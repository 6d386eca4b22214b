//! Unix time as people write it.

/// A second in UTC, by the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
    /// From 0, which is Sunday.
    pub weekday: u64,
    pub hours: u64,
    pub minutes: u64,
    pub seconds: u64,
}

impl Civil {
    #[must_use]
    pub fn of(unix_s: u64) -> Civil {
        let (days, of_day) = (unix_s / 86_400, unix_s % 86_400);
        // Years begin with March here, so that leap days are the last of them.
        let z = days + 719_468;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Civil {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            // The epoch was a Thursday.
            weekday: (days + 4) % 7,
            hours: of_day / 3600,
            minutes: of_day / 60 % 60,
            seconds: of_day % 60,
        }
    }
}
