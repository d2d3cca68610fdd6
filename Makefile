# For those who have make; the work is done by ./run and ./test, which need nothing but Python.
.PHONY: run test

run: ; ./run
test: ; ./test
