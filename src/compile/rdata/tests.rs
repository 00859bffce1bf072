//! Record data from text, case by case.

use super::*;
