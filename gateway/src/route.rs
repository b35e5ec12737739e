//! Which registry office is in charge: by where the property lies, never by where the outlet is or what a bank says.
//!
//! The longest known prefix of the unit code (不动产单元代码) decides, of 19, 12, 9 or 6 characters, after a retired
//! division code has been replaced by its successor. A home that has no unit code yet goes by the beginning of its presale
//! contract's filing number, else by the place in its title certificate's number (`晋(2026)太原市不动产权第0012345号`), else
//! by the office that the bank states. Whatever else is said of it must lead there too: evidence that disagrees is told
//! with every piece of it, never guessed away. Sources: docs/domain.md; docs/decisions/0017.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    slice,
    sync::Arc,
};

use proto::v1::{self, Property};

use crate::settings::{Office, Routing};

/// Lengths of unit-code prefixes that mean something: with sequence number, sub-area, area, division.
pub const PREFIX_LENGTHS: [usize; 4] = [19, 12, 9, 6];

impl Office {
    /// The office as an application carries it.
    pub fn canonical(&self) -> v1::Office {
        v1::Office {
            code: self.code.clone(),
            name: self.name.clone(),
            division: self.division.clone(),
        }
    }
}

/// Why no single office is in charge. Fields are contract paths of the properties at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOffice {
    /// These properties lie in no known office's district, or do not say where they lie.
    Unknown {
        /// `matter.properties[i].unit_code`, or `.presale_contract_number`.
        fields: Vec<String>,
    },
    /// The properties lie under several offices.
    Several {
        /// For each property that is not under the first one's office: its field and the office it is under.
        fields: Vec<(String, String)>,
        /// Name of the first property's office.
        first: String,
        /// How they would have to be filed: each office's name, and its properties, from 1.
        split: Vec<(String, Vec<usize>)>,
    },
    /// What is said of the properties leads to different offices.
    Contradicted {
        /// Each piece of evidence that takes part: its field, and the offices it leads to. What decides comes first.
        pieces: Vec<(String, String)>,
    },
}

/// A piece of evidence: what is said, and where. Its field is put into words only when it has to be told.
#[derive(Debug, Clone, Copy)]
enum Piece<'e> {
    UnitCode(usize, &'e str),
    PresaleContract(usize, &'e str),
    TitleNumber(usize, usize, &'e str),
    StatedOffice(&'e str),
}

impl Piece<'_> {
    fn field(self) -> String {
        match self {
            Self::UnitCode(at, _) => format!("matter.properties[{at}].unit_code"),
            Self::PresaleContract(at, _) => {
                format!("matter.properties[{at}].presale_contract_number")
            }
            Self::TitleNumber(at, number, _) => {
                format!("matter.properties[{at}].title_numbers[{number}]")
            }
            Self::StatedOffice(_) => "stated_office_code".to_owned(),
        }
    }
}

/// The table of offices.
#[derive(Debug, Default)]
pub struct Route {
    by_prefix: HashMap<String, Arc<Office>>,
    by_presale_prefix: HashMap<String, Arc<Office>>,
    /// How long those prefixes are, in bytes, the longest first.
    presale_prefix_lengths: BTreeSet<Reverse<usize>>,
    by_title_place: HashMap<String, Vec<Arc<Office>>>,
    by_code: HashMap<String, Vec<Arc<Office>>>,
    retired: BTreeMap<String, String>,
    offices: Vec<Arc<Office>>,
}

impl Route {
    /// A table of these offices. Where two of them claim a prefix the later one has it: settings refuse that before.
    pub fn new(offices: &[Office], routing: &Routing) -> Self {
        let mut route = Self { retired: routing.retired.clone(), ..Self::default() };
        for office in offices.iter().cloned().map(Arc::new) {
            route.offices.push(Arc::clone(&office));
            route.by_code.entry(office.code.clone()).or_default().push(Arc::clone(&office));
            for prefix in &office.prefixes {
                route.by_prefix.insert(prefix.clone(), Arc::clone(&office));
            }
            for place in &office.title_places {
                route.by_title_place.entry(place.clone()).or_default().push(Arc::clone(&office));
            }
            for prefix in &office.presale_prefixes {
                route.by_presale_prefix.insert(prefix.clone(), Arc::clone(&office));
                route.presale_prefix_lengths.insert(Reverse(prefix.len()));
            }
        }
        route
    }

    /// Every office.
    pub fn offices(&self) -> Vec<Arc<Office>> {
        self.offices.clone()
    }

    /// The one office in charge of all the properties. `stated`: the code of the office that the bank states; may be empty.
    ///
    /// # Errors
    /// [`NoOffice`] where there is none, or more than one.
    pub fn office_for(
        &self,
        properties: &[Property],
        stated: &str,
    ) -> Result<Arc<Office>, NoOffice> {
        if !stated.is_empty() && !self.by_code.contains_key(stated) {
            return Err(NoOffice::Unknown { fields: vec![Piece::StatedOffice(stated).field()] });
        }
        let decided: Vec<_> = (0..)
            .zip(properties)
            .map(|(at, property)| self.decided(at, property, stated))
            .collect();
        let unknown: Vec<_> = (0..)
            .zip(properties.iter().zip(&decided))
            .filter(|(_, (_, decided))| decided.is_none())
            .map(|(at, (property, _))| field_of(property, at))
            .collect();
        let Some((deciding, first)) =
            decided.iter().flatten().next().filter(|_| unknown.is_empty())
        else {
            return Err(NoOffice::Unknown { fields: unknown });
        };
        let elsewhere: Vec<_> = decided
            .iter()
            .flatten()
            .filter(|(_, office)| office.code != first.code)
            .map(|(piece, office)| (piece.field(), office.name.clone()))
            .collect();
        if !elsewhere.is_empty() {
            let split = split(decided.iter().flatten().map(|(_, office)| *office));
            return Err(NoOffice::Several { fields: elsewhere, first: first.name.clone(), split });
        }
        let contradicting = self.contradicting(properties, stated, first);
        if !contradicting.is_empty() {
            let mut pieces = vec![(deciding.field(), first.name.clone())];
            pieces.extend(contradicting);
            return Err(NoOffice::Contradicted { pieces });
        }
        Ok(Arc::clone(first))
    }

    /// The office that a property is under, and the piece of evidence that says so.
    fn decided<'e>(
        &'e self,
        at: usize,
        property: &'e Property,
        stated: &'e str,
    ) -> Option<(Piece<'e>, &'e Arc<Office>)> {
        let mut pieces = pieces(at, property).chain([Piece::StatedOffice(stated)]);
        if !property.unit_code.is_empty() {
            // A unit that no office is in charge of is not made up for by what else is said.
            let unit = pieces.next()?;
            return self.led_to(unit).first().map(|office| (unit, office));
        }
        pieces.find_map(|piece| match self.led_to(piece) {
            [office] => Some((piece, office)),
            _ => None,
        })
    }

    /// The pieces that lead elsewhere than to the office. One that leads nowhere says nothing.
    fn contradicting(
        &self,
        properties: &[Property],
        stated: &str,
        office: &Office,
    ) -> Vec<(String, String)> {
        let pieces = (0..).zip(properties).flat_map(|(at, property)| pieces(at, property));
        let elsewhere = pieces.chain([Piece::StatedOffice(stated)]).filter_map(|piece| {
            let offices = self.led_to(piece);
            if offices.is_empty() || offices.iter().any(|it| it.code == office.code) {
                return None;
            }
            let names: Vec<_> = offices.iter().map(|office| office.name.as_str()).collect();
            Some((piece.field(), names.join("、")))
        });
        elsewhere.collect()
    }

    /// The offices that a piece of evidence leads to.
    fn led_to(&self, piece: Piece<'_>) -> &[Arc<Office>] {
        match piece {
            Piece::UnitCode(_, code) => self.office_of_unit(code),
            Piece::PresaleContract(_, number) => self.office_of_presale(number),
            Piece::TitleNumber(_, _, number) => {
                let place = place_of(number).and_then(|place| self.by_title_place.get(&place));
                place.map_or(&[], Vec::as_slice)
            }
            Piece::StatedOffice(code) => self.by_code.get(code).map_or(&[], Vec::as_slice),
        }
    }

    /// The office of that code, whoever says it.
    pub fn named(&self, code: &str) -> Option<&Arc<Office>> {
        self.by_code.get(code)?.first()
    }

    fn office_of_unit(&self, unit_code: &str) -> &[Arc<Office>] {
        let current = self.with_current_division(unit_code);
        PREFIX_LENGTHS
            .iter()
            .filter_map(|length| current.get(..*length))
            .find_map(|prefix| self.by_prefix.get(prefix))
            .map_or(&[], slice::from_ref)
    }

    fn office_of_presale(&self, number: &str) -> &[Arc<Office>] {
        // An end within a character ends no prefix.
        self.presale_prefix_lengths
            .iter()
            .filter_map(|Reverse(length)| number.get(..*length))
            .find_map(|prefix| self.by_presale_prefix.get(prefix))
            .map_or(&[], slice::from_ref)
    }

    /// The unit code with a retired division replaced: registers keep the code, districts move.
    fn with_current_division(&self, unit_code: &str) -> String {
        let successor = unit_code.get(..6).and_then(|division| self.retired.get(division));
        match (successor, unit_code.get(6..)) {
            (Some(successor), Some(rest)) => format!("{successor}{rest}"),
            _ => unit_code.to_owned(),
        }
    }
}

/// What is said of where a property lies, the strongest first; what is empty is not said.
fn pieces(at: usize, property: &Property) -> impl Iterator<Item = Piece<'_>> {
    let unit = [Piece::UnitCode(at, &property.unit_code)].into_iter();
    let presale = [Piece::PresaleContract(at, &property.presale_contract_number)].into_iter();
    let titles = (0..).zip(&property.title_numbers);
    let titles = titles.map(move |(number, text)| Piece::TitleNumber(at, number, text));
    unit.filter(|_| !property.unit_code.is_empty())
        .chain(presale.filter(|_| !property.presale_contract_number.is_empty()))
        .chain(titles)
}

/// Which properties, from 1, are under which office; offices in order of their first property.
fn split<'o>(offices: impl Iterator<Item = &'o Arc<Office>>) -> Vec<(String, Vec<usize>)> {
    let mut split: Vec<(String, Vec<usize>)> = Vec::new();
    for (number, office) in (1..).zip(offices) {
        match split.iter_mut().find(|(name, _)| *name == office.name) {
            Some((_, numbers)) => numbers.push(number),
            None => split.push((office.name.clone(), vec![number])),
        }
    }
    split
}

/// Province and place of a certificate's number: `晋太原市` of `晋(2026)太原市不动产权第0012345号`; `None` for older forms.
fn place_of(number: &str) -> Option<String> {
    let (province, rest) = number.trim().split_once(['(', '（'])?;
    let (_year, rest) = rest.split_once([')', '）'])?;
    let (place, _number) = rest.split_once("不动产")?;
    Some(format!("{province}{place}"))
}

fn field_of(property: &Property, at: usize) -> String {
    let field = match property.unit_code.is_empty() && !property.presale_contract_number.is_empty()
    {
        true => "presale_contract_number",
        false => "unit_code",
    };
    format!("matter.properties[{at}].{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office(code: &str, prefixes: &[&str], presale: &[&str]) -> Office {
        Office {
            code: code.into(),
            name: format!("office {code}"),
            division: code.into(),
            registry: "province".into(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            presale_prefixes: presale.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..Office::default()
        }
    }

    fn table() -> Route {
        Route::new(
            &[
                office("110101", &["110101", "110102"], &["YS"]),
                office("110103", &["110101001002"], &["YS-X"]),
            ],
            &Routing { retired: BTreeMap::from([("110199".to_owned(), "110102".to_owned())]) },
        )
    }

    fn unit(code: &str) -> Property {
        Property { unit_code: code.into(), ..Property::default() }
    }

    fn presale(number: &str) -> Property {
        Property { presale_contract_number: number.into(), ..Property::default() }
    }

    fn code_for(properties: &[Property]) -> Result<String, NoOffice> {
        table().office_for(properties, "").map(|office| office.code.clone())
    }

    #[test]
    fn the_longest_known_prefix_decides() {
        assert_eq!(code_for(&[unit("110101001002GB00001F00010001")]).unwrap(), "110103");
        assert_eq!(code_for(&[unit("110101001003GB00001F00010001")]).unwrap(), "110101");
        assert_eq!(code_for(&[presale("YS-X-1")]).unwrap(), "110103");
        assert_eq!(code_for(&[presale("YS-1")]).unwrap(), "110101");
        // The longer prefix would end within a character here.
        assert_eq!(code_for(&[presale("YS买卖1")]).unwrap(), "110101");
    }

    #[test]
    fn a_retired_division_goes_to_its_successor() {
        assert_eq!(code_for(&[unit("110199001002GB00001F00010001")]).unwrap(), "110101");
    }

    #[test]
    fn a_place_nobody_knows_is_told_with_its_field() {
        let fields = vec!["matter.properties[1].unit_code".to_owned()];
        assert_eq!(
            code_for(&[unit("110101001003GB00001F00010001"), unit("990101001003GB00001F00010001")]),
            Err(NoOffice::Unknown { fields })
        );
        let fields = vec!["matter.properties[0].presale_contract_number".to_owned()];
        assert_eq!(code_for(&[presale("ZZ-1")]), Err(NoOffice::Unknown { fields }));
        assert!(matches!(code_for(&[]), Err(NoOffice::Unknown { .. })));
    }

    #[test]
    fn properties_under_two_offices_are_not_guessed_into_one() {
        let both = [unit("110101001003GB00001F00010001"), unit("110101001002GB00001F00010001")];
        let fields =
            vec![("matter.properties[1].unit_code".to_owned(), "office 110103".to_owned())];
        let split =
            vec![("office 110101".to_owned(), vec![1]), ("office 110103".to_owned(), vec![2])];
        assert_eq!(
            code_for(&both),
            Err(NoOffice::Several { fields, first: "office 110101".into(), split })
        );
    }

    #[test]
    fn a_title_number_from_elsewhere_contradicts_the_unit_code() {
        let offices = [("110101", "京东城区"), ("110102", "京西城区"), ("110103", "京东城区")];
        let offices = offices.map(|(code, place)| Office {
            title_places: vec![place.into()],
            ..office(code, &[code], &[])
        });
        let route = Route::new(&offices, &Routing::default());
        let titled = |numbers: &[&str]| {
            let title_numbers = numbers.iter().map(|number| (*number).to_owned()).collect();
            [Property { title_numbers, ..unit("110101001002GB00001F00010001") }]
        };
        let fine = [
            "京(2026)东城区不动产权第0000001号",
            "津（2026）和平区不动产权第0000001号",
            "东城区房产证第1号",
        ];
        assert_eq!(route.office_for(&titled(&fine), "").unwrap().code, "110101");
        let numbers = ["京(2026)东城区不动产权第1号", "京（2026）西城区不动产权第2号"];
        assert_eq!(
            route.office_for(&titled(&numbers), ""),
            contradicted(&[
                ("matter.properties[0].unit_code", "office 110101"),
                ("matter.properties[0].title_numbers[1]", "office 110102"),
            ])
        );
        let place = &numbers[1..];
        let without_unit = titled(place).map(|it| Property { unit_code: String::new(), ..it });
        assert_eq!(route.office_for(&without_unit, "").unwrap().code, "110102");
    }

    fn contradicted(pieces: &[(&str, &str)]) -> Result<Arc<Office>, NoOffice> {
        let owned = |(field, office): &(&str, &str)| ((*field).to_owned(), (*office).to_owned());
        Err(NoOffice::Contradicted { pieces: pieces.iter().map(owned).collect() })
    }

    #[test]
    fn a_stated_office_decides_only_where_nothing_else_does_and_must_agree_with_all() {
        let route = table();
        let unnumbered = [presale("ZZ-1")];
        assert_eq!(route.office_for(&unnumbered, "110103").unwrap().code, "110103");
        let numbered = [presale("YS-1")];
        assert_eq!(route.office_for(&numbered, "110101").unwrap().code, "110101");
        assert_eq!(
            route.office_for(&numbered, "110103"),
            contradicted(&[
                ("matter.properties[0].presale_contract_number", "office 110101"),
                ("stated_office_code", "office 110103"),
            ])
        );
        let unit_elsewhere = unit("990101001003GB00001F00010001");
        let fields = vec!["matter.properties[0].unit_code".to_owned()];
        assert_eq!(
            route.office_for(&[unit_elsewhere], "110103"),
            Err(NoOffice::Unknown { fields }),
            "it does not make up for a unit that nobody knows"
        );
        let fields = vec!["stated_office_code".to_owned()];
        assert_eq!(route.office_for(&numbered, "77"), Err(NoOffice::Unknown { fields }));
    }

    #[test]
    fn a_presale_contract_from_elsewhere_contradicts_the_unit_code() {
        let both = Property {
            presale_contract_number: "YS-X-1".into(),
            ..unit("110101001003GB00001F00010001")
        };
        assert_eq!(
            table().office_for(&[both], ""),
            contradicted(&[
                ("matter.properties[0].unit_code", "office 110101"),
                ("matter.properties[0].presale_contract_number", "office 110103"),
            ])
        );
    }

    #[test]
    fn of_several_offices_of_one_place_the_stated_one_is_in_charge() {
        let offices = ["110101", "110103"].map(|code| Office {
            title_places: vec!["京东城区".into()],
            ..office(code, &[code], &[])
        });
        let route = Route::new(&offices, &Routing::default());
        let title_numbers = vec!["京(2026)东城区不动产权第1号".to_owned()];
        let titled = [Property { title_numbers, ..Property::default() }];
        assert!(matches!(route.office_for(&titled, ""), Err(NoOffice::Unknown { .. })));
        assert_eq!(route.office_for(&titled, "110103").unwrap().code, "110103");
    }
}
