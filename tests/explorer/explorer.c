/*
 * An execution is a list of choices. The first takes the first possibility each time; the next one repeats the choices
 * of the one before up to the last that had another possibility, and takes that. So nothing but the choices is kept
 * from one execution to the next.
 *
 * Steps of two threads are independent if they concern different objects, or only look. After a thread's step was
 * explored, it is left alone in the executions of its siblings until a step that depends on it was made (sleep sets,
 * Godefroid 1996): all orders that remain differ in what somebody sees.
 */
#include "tests/explorer/explorer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
    OBJECTS_MAX = 24,
    VALUES_MAX = 48, /* of an object, in one execution */
    CHOICES_MAX = 512,
    STACK_SIZE = 64 * 1024,
};

enum step_kind { LOADS, STORES, MODIFIES, ACCESSES, RINGS, WAITS };

static const char *const step_names[] = {"loads", "stores", "modifies", "accesses", "rings", "waits for"};

/* How far into the history of each object. */
struct view {
    uint8_t seen[OBJECTS_MAX];
};

struct value {
    uint64_t number;
    struct view carries;
};

/* Something atomic, plain data (its values are its accesses), or a bell (its last value is whether it has been rung).
 */
struct object {
    const void *address;
    const char *name;
    int count;
    int last_sc; /* the newest value of a sequentially consistent store */
    struct value values[VALUES_MAX];
};

struct thread {
    ucontext_t context;
    char *stack;
    bool ended;
    enum step_kind next;
    struct object *object; /* of the next step */
    struct view view;
};

/* Who goes on, as bits of threads, or which value a load returns, as bits of how much older it is than the last. */
struct choice {
    bool is_of_thread;
    unsigned taken;
    uint64_t left;
    unsigned asleep; /* threads whose next steps were explored where this choice comes from */
    unsigned done;   /* threads that were taken here before */
};

static const struct explorer_scenario *scenario;
static struct explorer_result result;
static struct object objects[OBJECTS_MAX];
static int object_count;
static struct thread threads[EXPLORER_THREADS_MAX];
static int thread_count;
static struct thread *running;
static ucontext_t explorer;
static struct choice choices[CHOICES_MAX];
static int choice_count; /* that are known, from this execution or the one before */
static int choices_made; /* in this execution */
static size_t trace_length;

static void note(const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof result.trace - trace_length;
    va_start(arguments, format);
    int length = vsnprintf(result.trace + trace_length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        trace_length += (size_t)length < room ? (size_t)length : room - 1;
}

static void insist(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "explorer: %s\n", what);
    abort();
}

/* ---- choosing ---- */

static struct choice *next_choice(void)
{
    insist(choices_made < CHOICES_MAX, "an execution of too many choices");
    bool is_new = choices_made == choice_count;
    struct choice *choice = &choices[choices_made++];
    if (is_new) {
        *choice = (struct choice){0};
        choice_count++;
    }
    return choice;
}

static unsigned first_of(uint64_t possible)
{
    return (unsigned)__builtin_ctzll(possible);
}

/* One of `count` values. 0: the newest. */
static unsigned choose_value(unsigned count)
{
    bool is_new = choices_made == choice_count;
    if (count == 1)
        return 0;
    struct choice *choice = next_choice();
    if (is_new)
        choice->left = (1ULL << count) - 2;
    return choice->taken;
}

static bool is_independent(const struct thread *one, const struct thread *other)
{
    return one->object != other->object || (one->next == LOADS && other->next == LOADS);
}

/* NULL: whoever could go on was explored elsewhere. */
static struct thread *choose_thread(unsigned able, unsigned *asleep)
{
    bool is_new = choices_made == choice_count;
    if (is_new && !(able & ~*asleep))
        return NULL;
    struct choice *choice = next_choice();
    if (is_new) {
        choice->is_of_thread = true;
        choice->asleep = *asleep;
        choice->taken = first_of(able & ~*asleep);
        choice->left = able & ~*asleep & ~(1u << choice->taken);
    }
    struct thread *taken = &threads[choice->taken];
    unsigned sleepers = choice->asleep | choice->done;
    *asleep = 0;
    for (int i = 0; i < thread_count; i++) {
        if (sleepers & 1u << i && &threads[i] != taken && is_independent(&threads[i], taken))
            *asleep |= 1u << i;
    }
    return taken;
}

/* On to the next execution. False: that was the last. */
static bool advance(void)
{
    choice_count = choices_made;
    while (choice_count > 0) {
        struct choice *last = &choices[choice_count - 1];
        if (last->left) {
            if (last->is_of_thread)
                last->done |= 1u << last->taken;
            last->taken = first_of(last->left);
            last->left &= last->left - 1;
            return true;
        }
        choice_count--;
    }
    return false;
}

/* ---- objects ---- */

static uint64_t in_memory(const void *address, size_t size)
{
    uint64_t number = 0;
    memcpy(&number, address, size);
    return number;
}

static struct object *object_at(const void *address, uint64_t number)
{
    for (int i = 0; i < object_count; i++) {
        if (objects[i].address == address)
            return &objects[i];
    }
    insist(object_count < OBJECTS_MAX, "too many objects");
    struct object *object = &objects[object_count++];
    object->address = address;
    object->name = "?";
    object->count = 1;
    object->last_sc = 0;
    object->values[0] = (struct value){.number = number};
    return object;
}

static struct value *last_value(struct object *object)
{
    return &object->values[object->count - 1];
}

static uint8_t *seen(struct object *object)
{
    return &running->view.seen[object - objects];
}

static void join(const struct view *other)
{
    for (int i = 0; i < OBJECTS_MAX; i++) {
        if (running->view.seen[i] < other->seen[i])
            running->view.seen[i] = other->seen[i];
    }
}

static bool acquires(enum explorer_order order)
{
    return order == EXPLORER_ACQUIRE || order >= EXPLORER_ACQ_REL;
}

static bool releases(enum explorer_order order)
{
    return order >= EXPLORER_RELEASE;
}

static void append(struct object *object, uint64_t number, enum explorer_order order)
{
    insist(object->count < VALUES_MAX, "too many values of an object");
    *seen(object) = (uint8_t)object->count;
    struct value *value = &object->values[object->count++];
    *value = (struct value){.number = number};
    if (releases(order))
        value->carries = running->view;
    else
        value->carries.seen[object - objects] = *seen(object);
    if (order == EXPLORER_SC)
        object->last_sc = object->count - 1;
}

void explorer_name(const void *address, size_t size, const char *name)
{
    object_at(address, in_memory(address, size))->name = name;
}

/* ---- steps ---- */

/* Returns when this thread is chosen to make its next step. */
static void come_to(enum step_kind kind, struct object *object)
{
    running->next = kind;
    running->object = object;
    swapcontext(&running->context, &explorer);
    note("  thread %d %s %s", (int)(running - threads), step_names[kind], object->name);
}

uint64_t explorer_load(const void *address, size_t size, enum explorer_order order)
{
    struct object *object = object_at(address, in_memory(address, size));
    come_to(LOADS, object);
    int oldest = *seen(object);
    if (order == EXPLORER_SC && oldest < object->last_sc)
        oldest = object->last_sc;
    int index = object->count - 1 - (int)choose_value((unsigned)(object->count - oldest));
    const struct value *value = &object->values[index];
    *seen(object) = (uint8_t)index;
    if (acquires(order))
        join(&value->carries);
    note(": %llu%s\n", (unsigned long long)value->number, index < object->count - 1 ? ", which is old" : "");
    return value->number;
}

void explorer_store(void *address, size_t size, uint64_t number, enum explorer_order order)
{
    struct object *object = object_at(address, in_memory(address, size));
    come_to(STORES, object);
    append(object, number, order);
    note(": %llu\n", (unsigned long long)number);
}

uint64_t explorer_modify(void *address, size_t size, enum explorer_modification how, uint64_t operand,
                         enum explorer_order order)
{
    struct object *object = object_at(address, in_memory(address, size));
    come_to(MODIFIES, object);
    const struct value before = *last_value(object);
    uint64_t number = how == EXPLORER_ADD  ? before.number + operand
                      : how == EXPLORER_OR ? before.number | operand
                                           : operand;
    if (size < sizeof number)
        number &= (1ULL << 8 * size) - 1;
    if (acquires(order))
        join(&before.carries);
    append(object, number, order);
    /* Who reads this one acquires what the one before released, too. */
    struct value *after = last_value(object);
    for (int i = 0; i < OBJECTS_MAX; i++) {
        if (after->carries.seen[i] < before.carries.seen[i])
            after->carries.seen[i] = before.carries.seen[i];
    }
    note(": %llu, was %llu\n", (unsigned long long)number, (unsigned long long)before.number);
    return before.number;
}

void explorer_access(const void *data)
{
    struct object *object = object_at(data, 0);
    come_to(ACCESSES, object);
    note("\n");
    if (*seen(object) != object->count - 1)
        explorer_fail("a race: data are accessed without an order");
    append(object, 0, EXPLORER_RELAXED);
}

/* Kernel objects order what is done before and after, whoever uses them. */
static void use_bell(void *bell, enum step_kind kind, bool is_rung)
{
    struct object *object = object_at(bell, 0);
    come_to(kind, object);
    note("\n");
    join(&last_value(object)->carries);
    append(object, is_rung, EXPLORER_SC);
}

void explorer_ring(void *bell)
{
    use_bell(bell, RINGS, true);
}

void explorer_wait(void *bell)
{
    use_bell(bell, WAITS, false);
}

void explorer_fail(const char *fault)
{
    result.fault = fault;
    swapcontext(&running->context, &explorer);
    insist(false, "an execution went on after its fault");
}

/* ---- executions ---- */

static void enter(int number)
{
    scenario->threads[number](scenario->state);
    threads[number].ended = true;
    swapcontext(&threads[number].context, &explorer);
}

static void resume(struct thread *thread)
{
    running = thread;
    swapcontext(&explorer, &thread->context);
}

static void start(int number)
{
    struct thread *thread = &threads[number];
    thread->ended = false;
    thread->view = (struct view){{0}};
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK_SIZE;
    thread->context.uc_link = NULL;
    makecontext(&thread->context, (void (*)(void))enter, 1, number);
    resume(thread);
}

static unsigned threads_able(bool *all_ended)
{
    unsigned able = 0;
    *all_ended = true;
    for (int i = 0; i < thread_count; i++) {
        const struct thread *thread = &threads[i];
        *all_ended = *all_ended && thread->ended;
        if (!thread->ended && (thread->next != WAITS || last_value(thread->object)->number))
            able |= 1u << i;
    }
    return able;
}

static void execute(void)
{
    unsigned asleep = 0;
    object_count = choices_made = 0;
    trace_length = 0;
    result.trace[0] = '\0';
    scenario->begin(scenario->state);
    for (int i = 0; i < thread_count && !result.fault; i++)
        start(i);
    while (!result.fault) {
        bool all_ended;
        unsigned able = threads_able(&all_ended);
        if (all_ended) {
            result.fault = scenario->end(scenario->state);
            return;
        }
        if (able == 0) {
            result.fault = "nobody goes on: somebody waits for a bell that nobody rings";
            return;
        }
        struct thread *thread = choose_thread(able, &asleep);
        if (!thread)
            return;
        resume(thread);
    }
}

struct explorer_result explorer_run(const struct explorer_scenario *explored)
{
    scenario = explored;
    result = (struct explorer_result){0};
    choice_count = 0;
    for (thread_count = 0; thread_count < EXPLORER_THREADS_MAX && scenario->threads[thread_count]; thread_count++) {
        threads[thread_count].stack = malloc(STACK_SIZE);
        insist(threads[thread_count].stack, "no memory");
    }
    do {
        execute();
        result.executions++;
    } while (!result.fault && advance());
    for (int i = 0; i < thread_count; i++)
        free(threads[i].stack);
    return result;
}
