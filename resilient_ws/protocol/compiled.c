/* The compiled twin of pure.py, which says what each function takes and returns.

   Anything that needs a rule stays in Python. The walk takes only whole, plain
   messages, and stops at the first byte of anything else: the receiver knows what that
   means. A frame to send is its head, its masking key and its masked payload (RFC 6455
   sections 5.2 and 5.3). tests/twins/test_twins.py compares the twins byte by byte.

   The limited API of Python 3.11 is all that is used, so that one build serves every
   later version. That is why calls pass no arrays: vectorcall came with 3.12. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { TEXT = 0x81, BINARY = 0x82 };          /* first bytes: FIN and the opcode */
enum { MASKED = 0x80, MAX_SHORT = 125, IS_16_BIT, IS_64_BIT, MAX_16_BIT = 0xFFFF };
enum { KEY_SIZE = 4, MAX_OVERHEAD = 10 + KEY_SIZE };
enum { ALL_TAKEN, STOPPED, NOT_UTF8 };        /* why the walk stopped */
enum { INTERFACE = 1 };                       /* equal to that of pure.py, or unused */

static PyCFunction list_append;               /* to know the append of any list */
static PyObject *isascii_name;                /* the name of the method of a str */

static int takes(const char *name, Py_ssize_t wanted, Py_ssize_t given)
{
    if (given == wanted)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd",
                 name, wanted, given);
    return 0;
}

typedef struct {
    const char *payload;
    Py_ssize_t length;
    Py_ssize_t stop;                          /* where the next frame begins */
    int first;
} Frame;

/* Read the frame at `pos`. Return 0 unless it is a whole, plain message of at most
   `limit` bytes, whose length is in its shortest form. */
static int read_frame(const unsigned char *data, Py_ssize_t end, Py_ssize_t pos,
                      Py_ssize_t limit, Frame *frame)
{
    if (end - pos < 2)
        return 0;
    Py_ssize_t start = pos + 2, length = data[pos + 1];   /* above 127 if masked */
    if (length == IS_16_BIT && end - pos >= 4) {
        start = pos + 4;
        length = (Py_ssize_t)data[pos + 2] << 8 | data[pos + 3];
        if (length <= MAX_SHORT)
            return 0;
    }
    else if (length > MAX_SHORT)
        return 0;
    if (length > limit || length > end - start)
        return 0;
    frame->payload = (const char *)data + start;
    frame->length = length;
    frame->stop = start + length;
    frame->first = data[pos];
    return frame->first == TEXT || frame->first == BINARY;
}

/* Return the list whose append `deliver` is, borrowed, or NULL. The inbox delivers into
   a list: to append to it here saves a call for each message. */
static PyObject *list_of(PyObject *deliver)
{
    if (!Py_IS_TYPE(deliver, &PyCFunction_Type)
            || PyCFunction_GetFunction(deliver) != list_append)
        return NULL;
    return PyCFunction_GetSelf(deliver);
}

/* Deliver the message of a frame. Return -1 with an exception set if it fails. */
static int deliver_frame(const Frame *frame, PyObject *deliver, PyObject *list)
{
    PyObject *message = frame->first == TEXT
        ? PyUnicode_DecodeUTF8(frame->payload, frame->length, NULL)
        : PyBytes_FromStringAndSize(frame->payload, frame->length);
    if (message == NULL)
        return -1;
    PyObject *nothing = list != NULL ? NULL
        : PyObject_CallFunctionObjArgs(deliver, message, NULL);
    int failed = list != NULL ? PyList_Append(list, message) : nothing == NULL;
    Py_XDECREF(nothing);
    Py_DECREF(message);
    return failed;
}

static PyObject *walk(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (!takes("walk", 5, nargs))
        return NULL;
    Py_ssize_t pos = PyLong_AsSsize_t(args[1]), room = PyLong_AsSsize_t(args[3]);
    Py_ssize_t limit = PyLong_AsSsize_t(args[4]), count = 0, size = 0;
    PyObject *deliver = args[2], *list = list_of(deliver);
    if (PyErr_Occurred())
        return NULL;
    if (pos < 0)
        return PyErr_Format(PyExc_ValueError, "pos is %zd: pass 0 or more", pos);
    Py_buffer view;
    /* While it is held, the buffer cannot be resized, whatever `deliver` does. */
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    Frame frame;
    int failed = 0;
    while (count < room && read_frame(view.buf, view.len, pos, limit, &frame)) {
        if ((failed = deliver_frame(&frame, deliver, list)))
            break;
        pos = frame.stop;
        size += frame.length;
        count++;
    }
    int reason = pos < view.len ? STOPPED : ALL_TAKEN;
    PyBuffer_Release(&view);
    if (failed) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
            return NULL;
        PyErr_Clear();
        reason = NOT_UTF8;
    }
    return Py_BuildValue("nnni", pos, count, size, reason);
}

typedef struct {
    PyObject *owner;                          /* keeps `data` */
    const char *data;
    Py_ssize_t size;
    int first;
} Payload;

static int is_long_ascii(PyObject *text)
{
    if (PyUnicode_GetLength(text) < 4096)
        return 0;                             /* to ask would cost more than a copy */
    PyObject *answer = PyObject_CallMethodObjArgs(text, isascii_name, NULL);
    PyErr_Clear();
    Py_XDECREF(answer);
    return answer == Py_True;
}

/* Read what a message consists of. Return -1 with an exception set if it has no bytes
   to send. The UTF-8 of a str is copied unless it is what the str consists of: another
   str would keep what it is asked for, in memory that its owner does not know of. */
static int read_payload(PyObject *message, Payload *payload)
{
    int is_text = PyUnicode_Check(message);
    payload->first = is_text ? TEXT : BINARY;
    if (is_text && is_long_ascii(message)) {
        payload->owner = Py_NewRef(message);
        payload->data = PyUnicode_AsUTF8AndSize(message, &payload->size);
        return 0;
    }
    payload->owner = is_text ? PyUnicode_AsUTF8String(message)
                             : PyBytes_FromObject(message);
    if (payload->owner == NULL)
        return -1;
    payload->data = PyBytes_AsString(payload->owner);
    payload->size = PyBytes_Size(payload->owner);
    return 0;
}

static int length_size(Py_ssize_t size)
{
    return size <= MAX_SHORT ? 0 : size <= MAX_16_BIT ? 2 : 8;
}

static unsigned char *write_head(unsigned char *at, const Payload *payload)
{
    int more = length_size(payload->size);
    int length = more == 0 ? (int)payload->size : more == 2 ? IS_16_BIT : IS_64_BIT;
    *at++ = (unsigned char)payload->first;
    *at++ = (unsigned char)(MASKED | length);
    for (int shift = 8 * (more - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)((uint64_t)payload->size >> shift);
    return at;
}

/* Write the payload masked, eight bytes at a time, and then the rest. */
static unsigned char *write_masked(unsigned char *at, const Payload *payload,
                                   const char *key)
{
    uint64_t keys, piece;
    memcpy(&keys, key, KEY_SIZE);
    memcpy((char *)&keys + KEY_SIZE, key, KEY_SIZE);
    Py_ssize_t i = 0;
    for (; payload->size - i >= 8; i += 8) {
        memcpy(&piece, payload->data + i, 8);
        piece ^= keys;
        memcpy(at + i, &piece, 8);
    }
    for (; i < payload->size; i++)
        at[i] = (unsigned char)(payload->data[i] ^ key[i % KEY_SIZE]);
    return at + payload->size;
}

/* Write a frame. It masks by itself; the Python twin is given a routine for that.
   Return where it ends, or NULL with an exception set. */
static unsigned char *write_frame(unsigned char *at, const Payload *payload,
                                  PyObject *take_key)
{
    PyObject *key = PyObject_CallNoArgs(take_key);
    if (key == NULL)
        return NULL;
    if (!PyBytes_Check(key) || PyBytes_Size(key) != KEY_SIZE) {
        PyErr_SetString(PyExc_ValueError, "take_key() must return 4 bytes");
        Py_DECREF(key);
        return NULL;
    }
    at = write_head(at, payload);
    memcpy(at, PyBytes_AsString(key), KEY_SIZE);
    at = write_masked(at + KEY_SIZE, payload, PyBytes_AsString(key));
    Py_DECREF(key);
    return at;
}

/* Return the frames of `count` payloads, joined. */
static PyObject *join_frames(const Payload *payloads, Py_ssize_t count,
                             PyObject *take_key)
{
    Py_ssize_t total = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (payloads[i].size > PY_SSIZE_T_MAX - MAX_OVERHEAD - total)
            return PyErr_NoMemory();
        total += 2 + length_size(payloads[i].size) + KEY_SIZE + payloads[i].size;
    }
    PyObject *joined = PyBytes_FromStringAndSize(NULL, total);
    if (joined == NULL)
        return NULL;
    unsigned char *at = (unsigned char *)PyBytes_AsString(joined);
    for (Py_ssize_t i = 0; i < count && at != NULL; i++)
        at = write_frame(at, &payloads[i], take_key);
    if (at == NULL)
        Py_CLEAR(joined);
    return joined;
}

static PyObject *frame(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Payload payload;
    if (!takes("frame", 3, nargs) || read_payload(args[0], &payload) < 0)
        return NULL;
    PyObject *made = join_frames(&payload, 1, args[1]);
    Py_DECREF(payload.owner);
    return made;
}

static PyObject *frames(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *messages = takes("frames", 3, nargs) ? PySequence_Tuple(args[0]) : NULL;
    if (messages == NULL)
        return NULL;
    Py_ssize_t count = PyTuple_Size(messages), read = 0;
    Payload *payloads = PyMem_Calloc((size_t)count, sizeof(Payload));
    if (payloads == NULL) {
        Py_DECREF(messages);
        return PyErr_NoMemory();
    }
    while (read < count
           && read_payload(PyTuple_GetItem(messages, read), &payloads[read]) == 0)
        read++;
    PyObject *made = read < count ? NULL : join_frames(payloads, count, args[1]);
    while (read > 0)
        Py_DECREF(payloads[--read].owner);
    PyMem_Free(payloads);
    Py_DECREF(messages);
    return made;
}

static int prepare(PyObject *module)
{
    PyObject *list = PyList_New(0);
    PyObject *append = list ? PyObject_GetAttrString(list, "append") : NULL;
    list_append = append ? PyCFunction_GetFunction(append) : NULL;
    isascii_name = PyUnicode_InternFromString("isascii");
    Py_XDECREF(list);
    Py_XDECREF(append);
    if (list_append == NULL || isascii_name == NULL)
        return -1;
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}
static PyMethodDef methods[] = {
    METHOD(walk), METHOD(frame), METHOD(frames), {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "resilient_ws.protocol.compiled",
    .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit_compiled(void)
{
    return PyModuleDef_Init(&definition);
}
