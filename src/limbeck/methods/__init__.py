"""Methods: named recipes from papers, each a surrogate x states x parameterization with that paper's defaults."""

from limbeck.methods._applicable import check_applicable
from limbeck.methods._matching import Matching, Start
from limbeck.methods._method import Labelling, Method
from limbeck.methods._selection import Selection, centres_of_each_class, indices_by_class, random_of_each_class
from limbeck.methods._taught import Taught, stored_labels

__all__ = [
    "Labelling",
    "Matching",
    "Method",
    "Selection",
    "Start",
    "Taught",
    "centres_of_each_class",
    "check_applicable",
    "indices_by_class",
    "random_of_each_class",
    "stored_labels",
]
