/* Internals of the pickle reader: the classes and functions that a pickle may name. */
#ifndef PS_WEIGHTS_PICKLE_GLOBALS_H
#define PS_WEIGHTS_PICKLE_GLOBALS_H

#include "weights/pickle.h"

/* What calling it gives. */
enum ps_pickle_constructor {
    PS_UNKNOWN,        /* its instances are objects, but it must not be called */
    PS_MAKE_DICT,      /* an ordered dictionary, from nothing or from a list of pairs */
    PS_MAKE_TENSOR,    /* from storage, offset, sizes, strides, ... */
    PS_MAKE_SUBCLASS,  /* from a function, a class and the arguments of the function */
    PS_TAKE_FIRST,     /* wraps its first argument */
    PS_TAKE_ATTRIBUTE, /* getattr */
    PS_MAKE_OBJECT,    /* plain data of which only the existence matters */
    PS_STORAGE_CLASS,
};

/* Sets constructor, is_storage and dtype of a GLOBAL by its name. */
void ps_pickle_recognise(struct ps_pickle_value *global);

#endif
