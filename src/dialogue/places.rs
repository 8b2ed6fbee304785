//! `places/*.toml`: branches, cash machines and merchants with offers, and which of them are near. Distances are
//! whole metres, by integer arithmetic.

use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

use crate::content::{Content, Fault};

/// Places that one answer may hold; the rest of them are further away.
const NEAR_MAX: usize = 20;
/// Metres that a millionth of a degree of latitude takes, times a million.
const METRES_PER_DEGREE: i64 = 111_320;
/// A degree in the unit of this file.
const DEGREE: i64 = 1_000_000;
/// The cosine in the middle of each degree of latitude, times 10,000.
const COSINES: [i64; 90] = [
    10000, 9997, 9990, 9981, 9969, 9954, 9936, 9914, 9890, 9863, 9833, 9799, 9763, 9724, 9681, 9636, 9588,
    9537, 9483, 9426, 9367, 9304, 9239, 9171, 9100, 9026, 8949, 8870, 8788, 8704, 8616, 8526, 8434, 8339,
    8241, 8141, 8039, 7934, 7826, 7716, 7604, 7490, 7373, 7254, 7133, 7009, 6884, 6756, 6626, 6494, 6361,
    6225, 6088, 5948, 5807, 5664, 5519, 5373, 5225, 5075, 4924, 4772, 4617, 4462, 4305, 4147, 3987, 3827,
    3665, 3502, 3338, 3173, 3007, 2840, 2672, 2504, 2334, 2164, 1994, 1822, 1650, 1478, 1305, 1132, 958, 785,
    610, 436, 262, 87,
];

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Branch,
    Atm,
    Merchant,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Atm => "atm",
            Self::Merchant => "merchant",
        }
    }

    /// What the map calls the point, percent-encoded: 网点, 取款机, 优惠.
    fn title_in_url(self) -> &'static str {
        match self {
            Self::Branch => "%E7%BD%91%E7%82%B9",
            Self::Atm => "%E5%8F%96%E6%AC%BE%E6%9C%BA",
            Self::Merchant => "%E4%BC%98%E6%83%A0",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlacesFile {
    places: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: Kind,
    name: Spanned<String>,
    city: String,
    district: String,
    address: String,
    hours: String,
    note: Option<String>,
    latitude: Spanned<String>,
    longitude: Spanned<String>,
}

/// One place.
#[derive(Debug)]
struct Place {
    kind: Kind,
    name: String,
    city: String,
    district: String,
    address: String,
    hours: String,
    note: Option<String>,
    at: Position,
}

/// Where something is, in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    latitude: i64,
    longitude: i64,
}

impl Position {
    /// `30.201000,122.102000`
    fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_once(',')?;
        Some(Self { latitude: degrees(latitude, 89)?, longitude: degrees(longitude, 180)? })
    }

    /// Metres to another place, exact enough for some hundred kilometres.
    fn distance_m(self, other: Self) -> i64 {
        let middle = (self.latitude + other.latitude) / 2;
        let cosine = usize::try_from(middle.abs() / DEGREE).ok().and_then(|degree| COSINES.get(degree));
        let metres = |span: i64| span.abs() * METRES_PER_DEGREE / DEGREE;
        let around = (self.longitude - other.longitude).abs();
        let east = metres(around.min(360 * DEGREE - around)) * cosine.copied().unwrap_or(0) / 10_000;
        let north = metres(self.latitude - other.latitude);
        (east * east + north * north).isqrt()
    }
}

/// Degrees with at most twelve decimals, of which six count.
fn degrees(text: &str, most: i64) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 12 || !plain(whole) || !plain(part) {
        return None;
    }
    let six: String = part.chars().chain("000000".chars()).take(6).collect();
    let value = whole.parse::<i64>().ok()? * DEGREE + six.parse::<i64>().ok()?;
    (value <= most * DEGREE).then_some(if negative { -value } else { value })
}

/// Every place of the content.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Place>);

impl Places {
    /// Reads the files; none is no fault.
    ///
    /// # Errors
    /// Every fault, with file and line.
    pub(super) fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let (mut places, mut faults) = (Vec::new(), Vec::new());
        for (_, file) in content.below("places") {
            let rows = match file.parse::<PlacesFile>() {
                Ok(found) => found.places,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            for row in rows {
                let at = Position::parse(&format!("{},{}", row.latitude.get_ref(), row.longitude.get_ref()));
                match at {
                    Some(at) => places.push(Place {
                        kind: row.kind,
                        name: row.name.into_inner(),
                        city: row.city,
                        district: row.district,
                        address: row.address,
                        hours: row.hours,
                        note: row.note,
                        at,
                    }),
                    None => faults.push(file.fault_at(
                        row.name.span().start,
                        "latitude and longitude are degrees such as \"30.201000\"",
                    )),
                }
            }
        }
        if faults.is_empty() { Ok(Self(places)) } else { Err(faults) }
    }

    /// The district or city that a text names: `云台区附近网点`, `云台`.
    pub(super) fn named(&self, text: &str) -> Option<&str> {
        let says = |name: &str| {
            let short = name.strip_suffix(['区', '市']).filter(|short| short.chars().count() > 1);
            text.contains(short.unwrap_or(name))
        };
        let districts = self.0.iter().map(|place| place.district.as_str());
        let cities = self.0.iter().map(|place| place.city.as_str());
        districts.chain(cities).find(|name| says(name))
    }

    /// Places of a kind near a position, the nearest first, or in a named district or city; neither: none, and it is
    /// asked where.
    pub(super) fn near(&self, params: &Value) -> Value {
        let text = |name: &str| params[name].as_str().unwrap_or_default();
        let is_wanted = |place: &&Place| match text("kind") {
            "merchant" => place.kind == Kind::Merchant,
            "atm" => place.kind == Kind::Atm,
            _ => place.kind != Kind::Merchant,
        };
        let here = Position::parse(text("position"));
        let within = text("place");
        let mut found: Vec<(Option<i64>, &Place)> = match here {
            Some(here) => {
                let all = self.0.iter().filter(is_wanted);
                all.map(|place| (Some(here.distance_m(place.at)), place)).collect()
            }
            None => {
                let there = |place: &&Place| place.district == within || place.city == within;
                self.0.iter().filter(is_wanted).filter(there).map(|place| (None, place)).collect()
            }
        };
        found.sort_by_key(|(distance, _)| *distance);
        let rows = found.into_iter().take(NEAR_MAX).map(|(distance, place)| {
            let point = format!("{},{}", shown(place.at.latitude), shown(place.at.longitude));
            let title = place.kind.title_in_url();
            json!({
                "kind": place.kind.name(),
                "name": place.name,
                "city": place.city,
                "district": place.district,
                "address": place.address,
                "hours": place.hours,
                "note": place.note,
                "distance": distance.map(metres),
                "map_url": format!("https://apis.map.qq.com/uri/v1/marker?marker=coord:{point};title:{title}"),
            })
        });
        let rows: Vec<Value> = rows.collect();
        json!({ "known": here.is_some() || !within.is_empty(), "near": within, "places": rows })
    }
}

/// `850米`, `1.2公里`.
fn metres(distance_m: i64) -> String {
    match distance_m {
        0..1_000 => format!("{distance_m}米"),
        _ => format!("{}.{}公里", distance_m / 1_000, distance_m % 1_000 / 100),
    }
}

/// Millionths of a degree as degrees.
fn shown(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", value.abs() / DEGREE, value.abs() % DEGREE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        let at = |text: &str| Position::parse(text).unwrap();
        // A minute of latitude is a nautical mile; a degree of longitude shrinks towards the pole.
        assert_eq!(at("30.000000,122.000000").distance_m(at("30.016667,122.000000")), 1_855);
        let degree = |latitude: i64| {
            let from = Position { latitude: latitude * DEGREE, longitude: 0 };
            from.distance_m(Position { longitude: DEGREE, ..from }) / 1_000
        };
        assert_eq!((degree(0), degree(60)), (111, 54));
        assert_eq!(at("0.5,179.999").distance_m(at("0.5,-179.999")), 222);
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in ["", "30", "30,", "91,0", "30,181", "30;122", "3e1,122", "30.1234567890123,1", "１,2"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert_eq!((metres(850), metres(12_345)), ("850米".to_owned(), "12.3公里".to_owned()));
        assert_eq!(shown(-500), "-0.000500");
    }

    #[test]
    fn the_built_in_places_are_found_by_position_and_by_name() {
        let places = Places::load(&Content::built_in()).unwrap();
        assert!(places.0.len() >= 80);
        let near = places.near(&json!({ "kind": "branch", "position": "30.201000,122.102000" }));
        assert_eq!(near["places"][0]["city"], "星海市");
        assert_eq!(near["places"].as_array().unwrap().len(), NEAR_MAX);
        assert_eq!(places.named("帮我找找滨江的网点"), Some("滨江区"));
        assert_eq!(places.named("附近网点"), None);
        let there = places.near(&json!({ "kind": "merchant", "place": "滨江区" }));
        assert_eq!(there["places"].as_array().unwrap().len(), 3);
    }
}
