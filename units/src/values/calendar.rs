//! parse: calendar events, `Mon..Fri *-*-* 06:30`, and the next moment that one stands for. Reads no clock.
//!
//! All times are UTC. Seconds are whole; days from the end of a month (`~`) are not understood.
use super::ValueError;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// A set of moments. Each part is a bit set of what matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// Bit 0 is Monday.
    weekdays: u8,
    /// Empty: every year.
    years: Vec<u16>,
    /// Bit 1 is January.
    months: u64,
    /// Bit 1 is the first.
    days: u64,
    hours: u64,
    minutes: u64,
    seconds: u64,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0x7f;
/// The last year that is looked at.
const LAST_YEAR: u16 = 2199;
const DAY: u64 = 86_400;
/// The longest wait for a day that matches: 29 February on a given weekday.
const MAX_DAYS: u32 = 366 * 41;

impl FromStr for Calendar {
    type Err = ValueError;
    fn from_str(s: &str) -> Result<Calendar, ValueError> {
        parse(s).ok_or_else(|| ValueError::new(s, "a calendar event", "Mon *-*-* 06:30"))
    }
}

fn shortcut(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "minutely" => Some("*-*-* *:*:00"),
        "hourly" => Some("*-*-* *:00:00"),
        "daily" => Some("*-*-* 00:00:00"),
        "weekly" => Some("Mon *-*-* 00:00:00"),
        "monthly" => Some("*-*-01 00:00:00"),
        "quarterly" => Some("*-01,04,07,10-01 00:00:00"),
        "semiannually" | "semi-annually" => Some("*-01,07-01 00:00:00"),
        "yearly" | "annually" => Some("*-01-01 00:00:00"),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Calendar> {
    let text = text.trim();
    let text = text.strip_suffix(" UTC").unwrap_or(text).trim();
    let mut words = shortcut(text).unwrap_or(text).split_whitespace().peekable();
    words.peek()?;
    let midnight = (1, 1, 1);
    let mut calendar = Calendar {
        weekdays: EVERY_DAY,
        years: Vec::new(),
        months: bits(1, 12),
        days: bits(1, 31),
        hours: midnight.0,
        minutes: midnight.1,
        seconds: midnight.2,
    };
    if let Some(days) = words.peek().filter(|w| w.starts_with(|c: char| c.is_ascii_alphabetic())) {
        calendar.weekdays = weekdays(days)?;
        words.next();
    }
    if let Some(date) = words.peek().filter(|w| w.contains('-')) {
        let mut parts = date.rsplitn(3, '-');
        calendar.days = field(parts.next()?, 1, 31)?;
        calendar.months = field(parts.next()?, 1, 12)?;
        calendar.years = parts.next().map_or(Some(Vec::new()), years)?;
        words.next();
    }
    if let Some(time) = words.next() {
        let mut parts = time.split(':');
        calendar.hours = field(parts.next()?, 0, 23)?;
        calendar.minutes = field(parts.next()?, 0, 59)?;
        calendar.seconds = parts.next().map_or(Some(1), |s| field(s, 0, 59))?;
        if parts.next().is_some() {
            return None;
        }
    }
    words.next().is_none().then_some(calendar)
}

fn weekdays(text: &str) -> Option<u8> {
    let day = |name: &str| {
        let name = name.to_ascii_lowercase();
        let full = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        DAYS.iter().position(|d| *d == name).or_else(|| full.iter().position(|d| *d == name))
    };
    let mut all = 0;
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once("..").or_else(|| part.split_once('-')).unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Sat..Mon goes over the end of the week.
        for i in 0..=(last + 7 - first) % 7 {
            all |= 1 << ((first + i) % 7);
        }
    }
    Some(all)
}

/// Bits `first` to `last`.
fn bits(first: u32, last: u32) -> u64 {
    (first..=last).fold(0, |all, n| all | 1 << n)
}

/// `*`, `1,5`, `2..8`, `0/15`, `10..50/10` within its bounds.
fn numbers(text: &str, low: u32, high: u32) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once("..")) {
            ("*", _) => (low, high),
            (_, Some((first, last))) => (number(first)?, number(last)?),
            (one, None) if step.is_some() => (number(one)?, high),
            (one, None) => (number(one)?, number(one)?),
        };
        if first < low || last > high || first > last {
            return None;
        }
        all.extend((first..=last).step_by(step.unwrap_or(1)));
    }
    Some(all)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn field(text: &str, low: u32, high: u32) -> Option<u64> {
    Some(numbers(text, low, high)?.into_iter().fold(0, |all, n| all | 1 << n))
}

fn years(text: &str) -> Option<Vec<u16>> {
    if text == "*" {
        return Some(Vec::new());
    }
    let all = numbers(text, 1970, u32::from(LAST_YEAR))?;
    Some(all.into_iter().filter_map(|y| u16::try_from(y).ok()).collect())
}

/// A day of the calendar, and how many days after 1970-01-01 it is.
#[derive(Clone, Copy, Debug)]
struct Date {
    year: u16,
    month: u32,
    day: u32,
    number: u64,
}

impl Date {
    fn of(number: u64) -> Option<Date> {
        let mut date = Date { year: 1970, month: 1, day: 1, number };
        let mut left = number;
        while date.year <= LAST_YEAR {
            let length = if is_leap(date.year) { 366 } else { 365 };
            if left >= length {
                left -= length;
                date.year += 1;
                continue;
            }
            while left >= u64::from(date.month_length()) {
                left -= u64::from(date.month_length());
                date.month += 1;
            }
            date.day += u32::try_from(left).ok()?;
            return Some(date);
        }
        None
    }

    fn month_length(self) -> u32 {
        match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn next(self) -> Date {
        let number = self.number + 1;
        if self.day < self.month_length() {
            Date { day: self.day + 1, number, ..self }
        } else if self.month < 12 {
            Date { month: self.month + 1, day: 1, number, ..self }
        } else {
            Date { year: self.year + 1, month: 1, day: 1, number }
        }
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

impl Calendar {
    /// The first moment later than `after`, both in seconds since 1970; none if there is none.
    pub fn next(&self, after: u64) -> Option<u64> {
        let from = after.checked_add(1)?;
        let mut date = Date::of(from / DAY)?;
        let mut second = from % DAY;
        for _ in 0..MAX_DAYS {
            if self.has_day(date)
                && let Some(time) = self.time_from(second)
            {
                return Some(date.number * DAY + time);
            }
            date = date.next();
            second = 0;
            if date.year > LAST_YEAR {
                return None;
            }
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = (date.number + 3) % 7;
        let in_year = self.years.is_empty() || self.years.contains(&date.year);
        in_year
            && self.weekdays >> weekday & 1 == 1
            && self.months >> date.month & 1 == 1
            && self.days >> date.day & 1 == 1
    }

    /// The first time of a day that matches, from this second of it on.
    fn time_from(&self, second: u64) -> Option<u64> {
        let next = |set: u64, from: u64| (from..64).find(|n| set >> n & 1 == 1);
        let (hour, minute, rest) = (second / 3600, second / 60 % 60, second % 60);
        let first_minute = next(self.minutes, 0)?;
        let first_second = next(self.seconds, 0)?;
        let at = |h: u64, m: u64, s: u64| Some(h * 3600 + m * 60 + s);
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(s) = next(self.seconds, rest)
            {
                return at(hour, minute, s);
            }
            if let Some(m) = next(self.minutes, minute + 1) {
                return at(hour, m, first_second);
            }
        }
        at(next(self.hours, hour + 1)?, first_minute, first_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970 of `2026-11-23T18:40:03Z`.
    fn at(text: &str) -> u64 {
        let time = humantime::parse_rfc3339(text).unwrap();
        time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn the_next_moment() {
        let check = |event: &str, expect: &str| {
            // A Monday.
            let next = event.parse::<Calendar>().unwrap().next(at("2026-11-23T18:40:03Z"));
            let expect = (!expect.is_empty()).then(|| at(&format!("{expect}Z")));
            assert_eq!(next, expect, "{event}");
        };
        check("minutely", "2026-11-23T18:41:00");
        check("hourly", "2026-11-23T19:00:00");
        check("daily", "2026-11-24T00:00:00");
        check("weekly", "2026-11-30T00:00:00");
        check("monthly", "2026-12-01T00:00:00");
        check("quarterly", "2027-01-01T00:00:00");
        check("yearly", "2027-01-01T00:00:00");
        check("*-*-* 06,18:00", "2026-11-24T06:00:00");
        check("*-*-* 6,18:50:30 UTC", "2026-11-23T18:50:30");
        check("18:40:03", "2026-11-24T18:40:03");
        check("18:40:04", "2026-11-23T18:40:04");
        check("*:0/15", "2026-11-23T18:45:00");
        check("*:10..50/20", "2026-11-23T18:50:00");
        check("*:*:*", "2026-11-23T18:40:04");
        check("Sat,Sun 12:00", "2026-11-28T12:00:00");
        check("Mon..Fri 18:00", "2026-11-24T18:00:00");
        check("Sat..Mon 18:00", "2026-11-28T18:00:00");
        check("Sun", "2026-11-29T00:00:00");
        check("*-02-29", "2028-02-29T00:00:00");
        check("Tue *-02-29", "2028-02-29T00:00:00");
        check("2027-*-13 00:00", "2027-01-13T00:00:00");
        check("12-24", "2026-12-24T00:00:00");
        check("*-*-31", "2026-12-31T00:00:00");
        check("2020-01-01", "");
        check("*-02-30", "");
    }

    #[test]
    fn what_is_no_event() {
        for text in [
            "",
            "x",
            "25:00",
            "*-13-01",
            "1:2:3:4",
            "Foo 12:00",
            "*:0/0",
            "5..2:00",
            "*-*~1",
            "12:00 12:00",
            "-1:00",
        ] {
            assert!(text.parse::<Calendar>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (number, expect) in
            [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_780, (2026, 11, 23))]
        {
            let date = Date::of(number).unwrap();
            assert_eq!((date.year, date.month, date.day), expect);
            let before = Date::of(number.saturating_sub(1)).unwrap();
            assert!(number == 0 || before.next().number == number && before.next().day == date.day);
        }
    }
}
