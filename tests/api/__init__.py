"""Tests of the HTTP door: every requirement of the specification that a client can see."""
