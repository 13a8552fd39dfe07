"""Recipes: one data set from its files to a report, with no hand between."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.recipes.questions import BadQuestions
    from training.recipes.recipe import BadRecipe, Recipe, known_recipes, load_recipe
    from training.recipes.study import NoSuchProtocol, run_recipe
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.recipes.questions": ["BadQuestions"],
            "training.recipes.recipe": ["BadRecipe", "Recipe", "known_recipes", "load_recipe"],
            "training.recipes.study": ["NoSuchProtocol", "run_recipe"],
        },
    )

__all__ = ["BadQuestions", "BadRecipe", "NoSuchProtocol", "Recipe", "known_recipes", "load_recipe", "run_recipe"]
