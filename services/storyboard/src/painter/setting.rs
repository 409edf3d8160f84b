//! Settings: the place around the subject, read from the scene or chosen to suit shot, subject and mood.

use super::dice::Dice;
use super::shot::Shot;
use super::subject::Subject;
use super::vocabulary::{has_word, words};

/// Where a picture takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A photographer's seamless wall, with one piece of set design.
    Studio(SetPiece),
    /// Rolling hills or mountains.
    Hills,
    /// A skyline.
    City,
    /// Water to the horizon.
    Sea,
    /// A road to the vanishing point.
    Road,
    /// A room with a window.
    Room,
    /// Lights out of focus, behind things seen from very near.
    Bokeh,
    /// Shards and rays.
    Burst,
}

/// What stands or shines behind a subject in the studio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetPiece {
    /// A large disc.
    Disc,
    /// A round-headed niche.
    Arch,
    /// Window light thrown on the wall.
    WindowLight,
    /// Upright panels.
    Panels,
    /// Thin rings.
    Rings,
    /// Large soft waves.
    Waves,
}

/// The words that name each place, in the languages that briefs come in.
#[rustfmt::skip] // One word a line would bury the table.
const PLACES: &[(Setting, &[&str])] = &[
    (Setting::City, &[
        "city*", "urban", "street*", "skyline*", "downtown", "rooftop*", "skyscraper*", "stadt*", "straße*",
        "ville", "rue", "ciudad", "calle", "город*", "улиц*", "небоскр*", "πόλη*", "δρόμ*", "城市", "街",
    ]),
    (Setting::Sea, &[
        "sea", "ocean*", "beach*", "coast*", "shore*", "lake*", "waves", "meer", "strand", "küste", "mer", "plage",
        "mar", "playa", "море", "моря", "мор", "пляж*", "океан*", "берег*", "озер*", "θάλασσα", "παραλία", "海", "湖",
    ]),
    (Setting::Road, &[
        "road*", "highway*", "track", "asphalt", "drive", "driving", "drives", "autobahn", "landstraße", "route",
        "carretera", "дорог*", "шосс*", "трасс*", "公路",
    ]),
    (Setting::Hills, &[
        "mountain*", "hill*", "nature", "forest*", "field*", "desert*", "valley*", "meadow*", "landscape*",
        "trail*", "outdoor*", "park", "garden*", "sky", "horizon", "berg*", "wald*", "natur", "wiese*", "montagne*",
        "forêt", "montaña*", "bosque", "гор", "горы", "горах", "лес*", "поле", "природ*", "парк*", "сад", "βουν*",
        "δάσος", "山", "森林", "自然",
    ]),
    (Setting::Room, &[
        "room*", "kitchen*", "home", "house", "office*", "interior*", "indoor*", "table", "desk", "sofa",
        "bedroom*", "bathroom*", "gym", "café", "living", "zimmer", "küche", "büro", "tisch", "chambre", "cuisine",
        "bureau", "cocina", "oficina", "mesa", "комнат*", "кухн*", "офис*", "дом", "дома", "стол*", "δωμάτιο",
        "κουζίνα", "γραφείο", "房间", "厨房", "室内",
    ]),
];

impl Setting {
    /// The place that suits shot, subject and scene.
    pub fn choose(shot: Shot, subject: Subject, scene: &str, with_people: bool, dice: &mut Dice) -> Self {
        let words = words(scene);
        let named = PLACES.iter().find(|(_, names)| has_word(&words, names)).map(|(place, _)| *place);
        match shot {
            Shot::Macro | Shot::ExtremeCloseUp => Self::Bokeh,
            Shot::Dynamic | Shot::DynamicMulti => Self::Burst,
            Shot::Wide | Shot::WideCinematic => match named {
                Some(Self::Room) | None => Self::at_home_of(subject, dice),
                Some(place) => place,
            },
            Shot::Tracking => match named {
                Some(Self::Room) | None => {
                    if subject == Subject::Car || dice.coin() {
                        Self::Road
                    } else {
                        Self::City
                    }
                }
                Some(place) => place,
            },
            Shot::Medium | Shot::MediumWide => named.unwrap_or_else(|| {
                if subject.is_portable() && (with_people || dice.coin()) {
                    Self::Room
                } else {
                    Self::at_home_of(subject, dice)
                }
            }),
            // A car in a close-up still stands on a road when the scene says so.
            Shot::CloseUp | Shot::MediumCloseUp => match named {
                Some(place @ (Self::Road | Self::City | Self::Sea | Self::Hills)) if !subject.is_portable() => place,
                _ => Self::Studio(SetPiece::throw(dice)),
            },
        }
    }

    /// Where such a thing is usually seen.
    fn at_home_of(subject: Subject, dice: &mut Dice) -> Self {
        let places = match subject {
            Subject::Car => [Self::Road, Self::Hills, Self::Sea],
            Subject::House => [Self::Hills, Self::Hills, Self::Sea],
            Subject::Watch | Subject::Phone | Subject::Laptop | Subject::Headphones | Subject::Bag => {
                [Self::City, Self::City, Self::Hills]
            }
            Subject::Shoe => [Self::City, Self::Hills, Self::Road],
            Subject::Ring | Subject::Flacon | Subject::Bottle | Subject::Can | Subject::Cup | Subject::Prism => {
                [Self::Sea, Self::Hills, Self::City]
            }
        };
        places[dice.pick(places.len())]
    }

    /// Height of the horizon or of the floor's edge, as a part of the picture's height.
    pub const fn horizon(self) -> f32 {
        match self {
            Self::Studio(_) => 0.655,
            Self::Hills => 0.62,
            Self::City => 0.66,
            Self::Sea => 0.56,
            Self::Road => 0.58,
            Self::Room => 0.7,
            Self::Bokeh | Self::Burst => 1.3,
        }
    }
}

impl SetPiece {
    fn throw(dice: &mut Dice) -> Self {
        [Self::Disc, Self::Arch, Self::WindowLight, Self::Panels, Self::Rings, Self::Waves][dice.pick(6)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_shot_takes_place_where_the_scene_says() {
        let place = |scene: &str| Setting::choose(Shot::Wide, Subject::Watch, scene, false, &mut Dice::new(1, 1));
        assert_eq!(place("sunrise over the ocean"), Setting::Sea);
        assert_eq!(place("ночной город"), Setting::City);
        assert_eq!(place("ein Wald im Nebel"), Setting::Hills);
    }
}
