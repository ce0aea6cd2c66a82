/** An application in a JVM that knows nothing of metrics. */
public class Shop {
    public static void main(String[] args) throws Exception {
        System.out.println("open");
        Thread.currentThread().join();
    }
}
