"""The words: parsed or refused, whatever text comes in."""
